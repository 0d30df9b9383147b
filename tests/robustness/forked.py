"""The product's child processes without their start: a fork of a process that has imported everything already.

A fork is a process of its own as much as one that was started, with the same pipes, limits and signals; it is there in
milliseconds instead of a second. `tests.robustness.trial` repeats what went wrong with processes that were started.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from typing import IO, Any

from edgetool.engine import isolate, worker

_POLL = 0.002
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class Forked:
    """What `edgetool.engine.isolate.Child` asks of a `subprocess.Popen`."""

    def __init__(self, pid: int, stdin: IO[bytes]) -> None:
        self.pid = pid
        self.stdin = stdin
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
            elif deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("worker", timeout or 0)
            else:
                time.sleep(_POLL)
        return self.returncode


def end_with_parent() -> None:
    """The kernel kills this process when the one that started it ends, so an interrupted run leaves nothing behind."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def fork(work: Callable[[], int]) -> int:
    """Run `work` in a process and a session of its own; its result is the exit code. Returns the process's id."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.setsid()
        end_with_parent()
        code = work()
    except BaseException:  # noqa: BLE001 - nothing may leave a fork but by _exit
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def spawn_by_fork(python: str, memory: int | None, log: IO[bytes]) -> tuple[Any, int]:
    """Stands in for `edgetool.engine.isolate._spawn`."""
    answers, write_end = os.pipe()
    requests, stdin = os.pipe()

    def work() -> int:
        os.close(answers)
        os.close(stdin)
        os.dup2(requests, 0)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        os.environ.update(isolate._ENVIRONMENT)
        sys.stdin = os.fdopen(0, "r", closefd=False)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        faulthandler.enable(file=2)
        worker.main([str(write_end), *([] if memory is None else [str(memory)])])
        return 0

    pid = fork(work)
    os.close(write_end)
    os.close(requests)
    return Forked(pid, os.fdopen(stdin, "wb", buffering=0)), answers
