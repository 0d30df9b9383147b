"""The inside of a child process: reads requests, runs tasks, answers on its own pipe.

Started as `python -m edgetool.engine.worker FD [MEMORY]`; see `edgetool.engine.isolate` for the outside.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from edgetool.disk import host_error, out_of_memory
from edgetool.engine.desk import Desk, Talk
from edgetool.engine.memory import give_back, keep_blocks_apart, speaks_of_memory
from edgetool.engine.tasks import handler_of
from edgetool.errors import EdgetoolError, UnavailableError

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Serve until stdin ends."""
    _die_with_parent()
    keep_blocks_apart()
    if len(arguments) > 1:
        limit = int(arguments[1])
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides; it kills the whole group
    with os.fdopen(int(arguments[0]), "wb", buffering=0) as answers:
        talk = Talk(
            progress=lambda done, total, what: _send(answers, {"progress": [done, total, what]}),
            note=lambda text: _send(answers, {"note": text}),
            desk=Desk(),
        )
        for line in sys.stdin.buffer:
            message = json.loads(line)
            reply = _run(message["task"], message["request"], talk)
            if not message["task"].startswith("engine-"):  # those are many, and timed
                give_back()
            _send(answers, reply)
        talk.desk.close()


def _run(task: str, request: Mapping[str, Any], talk: Talk) -> dict[str, Any]:
    try:
        return {"result": handler_of(task)(request, talk)}
    except EdgetoolError as error:
        failure = error
        if _lacked_memory(error):
            failure = out_of_memory(error.where)
            failure.__cause__ = error
    except MemoryError as error:
        failure = out_of_memory()
        failure.__cause__ = error
    except OSError as error:
        failure = host_error(error, Path(tempfile.gettempdir()))
        failure.__cause__ = error
    except Exception as error:  # noqa: BLE001 - the plugin boundary: anything may come out of native code
        failure = out_of_memory() if speaks_of_memory(str(error)) else _foreign_error(error)
        failure.__cause__ = error
    with contextlib.suppress(OSError):  # the log's disk is full, which is no reason to die without an answer
        traceback.print_exception(failure)
        sys.stderr.flush()
    return {
        "error": {
            "kind": type(failure).__name__,
            "code": failure.code,
            "message": failure.message,
            "where": failure.where,
            "hint": failure.hint,
        }
    }


def _lacked_memory(error: BaseException | None) -> bool:
    """Whether a plugin's error, or what caused it, comes from the limit that this process was given."""
    if resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
        return False
    while error is not None and not speaks_of_memory(str(error)):
        error = error.__cause__ or error.__context__
    return error is not None


def _foreign_error(error: Exception) -> UnavailableError:
    return UnavailableError(
        "plugin-failed",
        f"{type(error).__name__}: {_first_line(error)}",
        where=_place(error),
        hint="this is a defect of the plugin or of the library behind it; the log has the traceback",
    )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else "no message"


def _place(error: Exception) -> str | None:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None


def _send(answers: BinaryIO, message: Mapping[str, Any]) -> None:
    answers.write(json.dumps(message).encode() + b"\n")


def _die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent is killed and cannot do it itself."""
    with contextlib.suppress(OSError, AttributeError):  # Linux only; elsewhere the end of stdin has to do
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
    # Nothing is left to tidy up, and with frameworks loaded the interpreter takes longer for it than for a small model.
    os._exit(0)
