"""What trtexec says of itself and of its result, in the log that it prints."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

from edgetool_tensorrt.trtexec.reasons import TrtReason, find_reason
from edgetool_tensorrt.version import Version

_BANNER = re.compile(r"^&&&& RUNNING TensorRT\.trtexec(?: \[TensorRT v(\d+)\](?: \[b(\d+)\])?)?", re.MULTILINE)
_SPELLED_OUT = re.compile(r"\bTensorRT version: (\d+\.\d+\.\d+(?:\.\d+)?)")
_WITHOUT_SCALE = re.compile(r"\b[Mm]issing scale and zero-point for tensor (\S+), expect fall back to non-int8")
_VERDICT = re.compile(r"^&&&& (PASSED|FAILED|WAIVED) TensorRT\.trtexec", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Log:
    """One call of trtexec.

    Attributes:
        version: of the banner, with the build number where it says so; None without a banner.
        passed: trtexec's verdict; None when it ended without one. False, whatever it says, when it made up shapes or
            scales on the way.
        reason: why it failed; None when it passed, or when it died without a word.
        without_scale: tensors that an implicit int8 build has no scale for, so that their layers compute in float.
    """

    version: Version | None
    passed: bool | None
    reason: TrtReason | None
    without_scale: tuple[str, ...] = ()


def read_log(text: str) -> Log:
    """Read what trtexec printed on both of its streams, up to wherever it ended."""
    verdicts = _VERDICT.findall(text)
    passed = verdicts[-1] == "PASSED" if verdicts else None
    reason = find_reason(text, passed=bool(passed))
    return Log(
        version=_version(text),
        passed=False if passed and reason is not None else passed,
        reason=reason,
        without_scale=tuple(dict.fromkeys(_WITHOUT_SCALE.findall(text))),
    )


def _version(text: str) -> Version | None:
    banner = _BANNER.search(text)
    if banner is not None and banner[1] is not None:
        return dataclasses.replace(Version.of_banner(banner[1]), build=int(banner[2] or 0))
    spelled = _SPELLED_OUT.search(text)
    return Version.parse(spelled[1]) if spelled else None
