"""Why a program of TensorRT failed on the device, as an error."""

from __future__ import annotations

from edgetool.errors import EdgetoolError, HostError, UnavailableError
from edgetool_tensorrt.ssh.job import Outcome
from edgetool_tensorrt.trtexec import read_log

_KILLED = 128 + 9
_LAST_LINES = 5


def require_success(outcome: Outcome, *, model: str, host: str) -> None:
    """Refuse whatever is not plainly a success.

    Args:
        outcome: of trtexec.
        model: the network's file, for errors that concern it.
        host: the device, for all others.

    Raises:
        EdgetoolError: the reason in trtexec's log, with its class and code; HostError `device-out-of-memory` when it
            was killed; UnavailableError `trtexec-crashed` when it ended without a word.
    """
    log = read_log(outcome.log)
    if outcome.code == 0 and log.passed:
        return
    if log.reason is not None:
        raise log.reason.as_error(where=model if log.reason.error == "ModelError" else host)
    raise _unexplained(outcome, host)


def _unexplained(outcome: Outcome, host: str) -> EdgetoolError:
    if outcome.code == _KILLED:
        return HostError(
            "device-out-of-memory",
            "trtexec was killed on the device, most likely for want of memory",
            where=host,
            hint="stop other programs there, add swap (a file, not zram), or declare smaller dimensions",
        )
    last = " | ".join(outcome.log.strip().splitlines()[-_LAST_LINES:])
    return UnavailableError(
        "trtexec-crashed",
        f"trtexec ended with {outcome.code} and without a verdict" + (f"; its log ends: {last}" if last else ""),
        where=host,
        hint="build again; if it crashes again, find the smallest model that does it with `edgetool reduce`",
    )
