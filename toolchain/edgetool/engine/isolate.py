"""Child processes for everything native: limits, events while they work, and an honest word when they die.

A child reads one JSON request a line from stdin and answers with JSON lines on a pipe of its own, so that native
chatter on stdout and stderr, which goes to a log, cannot disturb the answers.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from edgetool.disk import host_errors, out_of_memory
from edgetool.engine.memory import speaks_of_memory
from edgetool.errors import EdgetoolError, HostError, InterruptedByUserError, UnavailableError, error_classes
from edgetool.trust.secrets import without_secrets

_ENVIRONMENT = {
    "ORT_DISABLE_TELEMETRY": "1",  # has to be there before onnxruntime is imported
    "NNCF_CI": "1",  # NNCF's own switch for its telemetry
    "PYDANTIC_DISABLE_PLUGINS": "__all__",  # to look for them it reads the metadata of every installed package
    "PYTHONHASHSEED": "0",  # sets iterate in one order, so that exports are reproducible
    "PYTHONUNBUFFERED": "1",
}
_LOG_LINES = 8
_NO_INTERPRETER = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ENOEXEC})


@dataclass(frozen=True, slots=True)
class Limits:
    """What a child may use: seconds a request, and bytes of address space."""

    seconds: float
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Callbacks for what a child says while it works."""

    progress: Callable[[int, int, str], None]
    note: Callable[[str], None]


class Children:
    """The children of one command, so that Ctrl-C ends all of them. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[Child] = set()
        self._interrupted = False

    def start(self, *, log: Path, limits: Limits, python: str | None = None) -> Child:
        with self._lock:
            if self._interrupted:
                raise _interrupted()
            child = Child(log=log, limits=limits, python=python or sys.executable, group=self)
            self._running.add(child)
            return child

    def forget(self, child: Child) -> None:
        with self._lock:
            self._running.discard(child)

    def interrupt(self) -> None:
        """Kill every child with all that it started; further starts are refused."""
        with self._lock:
            self._interrupted = True
            running = list(self._running)
        for child in running:
            child.kill()

    @property
    def interrupted(self) -> bool:
        return self._interrupted


class Child:
    """One process that answers requests, one at a time. A context manager; leaving it ends the process."""

    def __init__(self, *, log: Path, limits: Limits, python: str, group: Children) -> None:
        self.log = log
        self._limits = limits
        self._group = group
        with host_errors(log):
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as sink:
                self._process, answers = _spawn(python, limits.memory, sink)
        self._answers = os.fdopen(answers, "rb", buffering=0)
        self._pending = b""

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let an idle child end by itself; a busy one is killed."""
        self._group.forget(self)
        if self._process.stdin and not self._process.stdin.closed:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=2)
        self.kill()
        self._answers.close()

    def kill(self) -> None:
        """End the process and everything that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def call(self, task: str, request: Mapping[str, Any], *, step: str, answer: Answer) -> dict[str, Any]:
        """Send a request and wait for its result.

        Raises:
            EdgetoolError: what the task raised; `UnavailableError` when the process crashed, `HostError` when it
                took too long or ran out of memory, `InterruptedByUserError` after `Children.interrupt`.
        """
        self.send(task, request, step=step)
        return self.receive(step=step, answer=answer)

    def send(self, task: str, request: Mapping[str, Any], *, step: str) -> None:
        """The first half of `call`: what is done between the two is done while the child works."""
        line = json.dumps({"task": task, "request": request}).encode() + b"\n"
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except OSError as error:
            raise self._died(step) from error

    def receive(self, *, step: str, answer: Answer) -> dict[str, Any]:
        """The second half of `call`; raises what that does."""
        deadline = time.monotonic() + self._limits.seconds
        for message in iter(lambda: self._next(deadline, step), None):
            if "progress" in message:
                answer.progress(*message["progress"])
            elif "note" in message:
                answer.note(message["note"])
            elif "error" in message:
                raise _error_from_json(message["error"], self.log)
            else:
                result: dict[str, Any] = message["result"]
                return result
        raise self._died(step)

    def _next(self, deadline: float, step: str) -> dict[str, Any] | None:
        """The next message, or None at the end of the pipe."""
        while b"\n" not in self._pending:
            with selectors.DefaultSelector() as selector:
                selector.register(self._answers, selectors.EVENT_READ)
                ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                self.kill()
                raise HostError(
                    "step-timed-out",
                    f"step {step!r} did not finish within {self._limits.seconds:g} s and was ended",
                    where=str(self.log),
                    hint="raise `timeout` in [targets.NAME.builder], or look at the log: " + self._log_end(),
                )
            chunk = self._answers.read(65536)
            if not chunk:
                return None
            self._pending += chunk
        line, _, self._pending = self._pending.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def _died(self, step: str) -> EdgetoolError:
        """The error for a child whose pipe ended without a result."""
        if self._group.interrupted:
            return _interrupted()
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.kill()
            code = -signal.SIGKILL
        if code == -signal.SIGKILL:
            return HostError(
                "step-killed",
                f"the process of step {step!r} was killed from outside, most likely for want of memory",
                where=str(self.log),
                hint="free some memory, or build on a larger machine; the log ends: " + self._log_end(),
            )
        if speaks_of_memory(self._log_end()):
            return out_of_memory(str(self.log))
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return UnavailableError(
            "step-crashed",
            f"the process of step {step!r} crashed: {how}",
            where=str(self.log),
            hint="the log ends: " + self._log_end(),
        )

    def _log_end(self) -> str:
        try:
            lines = self.log.read_text(errors="replace").strip().splitlines()[-_LOG_LINES:]
        except OSError:
            lines = []
        return "\n    " + "\n    ".join(lines) if lines else "(empty)"


def _spawn(python: str, memory: int | None, log: IO[bytes]) -> tuple[subprocess.Popen[bytes], int]:
    """A new process, and the descriptor that its answers arrive at. Raises UnavailableError or OSError."""
    answers, write_end = os.pipe()
    # -P: what lies in the current folder, perhaps somebody else's, is not taken for a library.
    command = [python, "-P", "-X", "faulthandler", "-m", "edgetool.engine.worker", str(write_end)]
    if memory is not None:
        command.append(str(memory))
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=(write_end,),
            env={**without_secrets(os.environ), **_ENVIRONMENT},
            start_new_session=True,  # a process group of its own, killed as a whole
        )
    except OSError as error:
        os.close(answers)
        if error.errno not in _NO_INTERPRETER:
            raise
        raise UnavailableError(
            "interpreter-missing",
            f"cannot start {python}: {error.strerror}",
            where=python,
            hint="set `python` in [targets.NAME.builder] to an interpreter that has edgetool installed",
        ) from error
    finally:
        os.close(write_end)
    return process, answers


def _interrupted() -> InterruptedByUserError:
    return InterruptedByUserError("interrupted-by-user", "interrupted; nothing half-written was kept")


def _error_from_json(data: Mapping[str, Any], log: Path) -> EdgetoolError:
    kind = error_classes().get(data["kind"], EdgetoolError)
    return kind(data["code"], data["message"], where=data["where"] or str(log), hint=data["hint"])
