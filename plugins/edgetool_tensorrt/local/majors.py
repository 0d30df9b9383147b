"""Which dialect a TensorRT module speaks."""

from __future__ import annotations

from typing import Any

from edgetool.errors import UnavailableError
from edgetool_tensorrt.local.dialect import Dialect
from edgetool_tensorrt.local.eight import Eight
from edgetool_tensorrt.local.eleven import Eleven
from edgetool_tensorrt.local.ten import Ten
from edgetool_tensorrt.local.toolkit import OLDEST
from edgetool_tensorrt.version import Version


def dialect_of(trt: Any) -> Dialect:
    """The dialect of a TensorRT module. Raises UnavailableError `tensorrt-too-old`."""
    version = Version.parse(str(trt.__version__))
    if version.release() < OLDEST:
        raise UnavailableError(
            "tensorrt-too-old",
            f"TensorRT {version} is older than {OLDEST[0]}.{OLDEST[1]}, the oldest that is driven from Python",
            hint='its trtexec serves: kind = "ssh" with host = "localhost" in [targets.NAME.builder], or "kit"',
        )
    if version.major >= 11:
        return Eleven(trt)
    return Ten(trt) if version.major >= 10 else Eight(trt)
