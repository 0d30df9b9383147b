"""Who says whether a model fails: a backend, asked in a child process, or a command of the user's."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from edgetool.artifact import Model
from edgetool.backends.base import HERE
from edgetool.engine.conversion import BuildTask, SupportTask
from edgetool.engine.isolate import Answer, Child, Children, Limits
from edgetool.engine.remote import RemoteRunner
from edgetool.engine.requests import EngineFile, ModelFile, Plug, request_json
from edgetool.errors import ConfigError, EdgetoolError, HostError, InterruptedByUserError
from edgetool.reduce.failure import Failure, Stage, first_line
from edgetool.signature import signature_from_json

_OF_THE_MACHINE = frozenset({"disk-full", "permission-denied", "host-failed", "interpreter-missing"})
_SURVIVABLE = "step-"  # step-crashed, step-killed, step-timed-out: the child is gone


class Oracle(Protocol):
    """Answers whether a model fails."""

    def ask(self, model: Model) -> tuple[Failure, ...]:
        """Every way in which the model fails; empty when it does not.

        Raises:
            EdgetoolError: the question could not be asked: interrupted, disk full.
        """
        ...

    def ask_anew(self, model: Model) -> tuple[Failure, ...]:
        """As `ask`, with nothing left over from earlier questions."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """The backend of a target as the oracle needs it.

    Attributes:
        name: of the backend.
        plug: its class, options and site.
        threads: for builds and runs.
        runs: whether engines can run here; then each is also run once.
        limits: for one question.
        python: the interpreter that the backend lives in, or None for this one.
        log: for what the child prints.
    """

    name: str
    plug: Plug
    threads: int
    runs: bool
    limits: Limits
    python: str | None
    log: Path


class BackendOracle:
    """Asks a backend for its verdict, for an engine, and for one inference. A context manager.

    The child is kept as long as it answers; a crash is an answer too, and the next question gets a new child.
    """

    def __init__(self, asked: Asked, children: Children) -> None:
        self._asked = asked
        self._children = children
        self._child: Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_child()

    def ask(self, model: Model) -> tuple[Failure, ...]:
        file = ModelFile(model.path, model.signature)
        stage: Stage = "supports"
        try:
            verdict = self._call("supports", SupportTask(self._asked.plug, file, self._asked.threads))
            if refusals := [row for row in verdict["problems"] if row["severity"] == "refuse"]:
                return tuple(
                    Failure(stage, "model-refused", first_line(row["reason"]), tuple(row["nodes"])) for row in refusals
                )
            with tempfile.TemporaryDirectory(prefix="edgetool-reduce-") as folder:
                stage = "build"
                directory = Path(folder)
                engine = self._call("build", BuildTask(self._asked.plug, file, directory, self._asked.threads))
                if self._asked.runs:
                    stage = "run"
                    self._infer(directory, engine)
        except EdgetoolError as error:
            return (self._failure(stage, error),)
        return ()

    def ask_anew(self, model: Model) -> tuple[Failure, ...]:
        self._end_child()
        return self.ask(model)

    def _infer(self, directory: Path, engine: Mapping[str, Any]) -> None:
        """Open the engine and run it once, on random values at the shapes to tune for."""
        from edgetool.validate.shapes import Shape, random_feeds

        signature = signature_from_json(engine["signature"])
        file = EngineFile(
            loader=self._asked.plug.loader,
            options=self._asked.plug.options,
            backend=self._asked.name,
            directory=directory,
            entry=engine["entry"],
            precision=engine["precision"],
            signature=signature,
            threads=self._asked.threads,
            site=self._asked.plug.site or HERE,
            facts=engine["facts"],
        )
        sizes = {name: found.opt for name, found in signature.dims.items()}
        with tempfile.TemporaryDirectory(prefix="edgetool-reduce-") as folder:
            runner = RemoteRunner(self._living_child(), file, Path(folder))
            runner.infer(random_feeds(signature, Shape("opt", sizes), seed=0))

    def _failure(self, stage: Stage, error: EdgetoolError) -> Failure:
        if isinstance(error, InterruptedByUserError) or error.code in _OF_THE_MACHINE:
            raise error
        if error.code.startswith(_SURVIVABLE) or isinstance(error, HostError):
            self._end_child()
        return Failure(stage, error.code, first_line(error.message))

    def _call(self, task: str, request: object) -> dict[str, Any]:
        return self._living_child().call(task, request_json(request), step=task, answer=_SILENT)

    def _living_child(self) -> Child:
        if self._child is None:
            asked = self._asked
            self._child = self._children.start(log=asked.log, limits=asked.limits, python=asked.python)
        return self._child

    def _end_child(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None


class CommandOracle:
    """Runs a command for each model; any exit status but 0 is a failure, and the same status the same failure.

    Args:
        command: as in a shell, without its expansions; `{}` stands for the model's path and is appended where missing.
        seconds: how long it may take; running out of time is a failure of its own.

    Raises:
        ConfigError: `bad-check-command`: it is empty, or its quotes do not match.
    """

    def __init__(self, command: str, *, seconds: float) -> None:
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise _bad_command(command, f"it cannot be split into words: {error}") from error
        if not words:
            raise _bad_command(command, "it is empty")
        self._words = words if any("{}" in word for word in words) else [*words, "{}"]
        self._seconds = seconds

    def ask(self, model: Model) -> tuple[Failure, ...]:
        words = [word.replace("{}", str(model.path)) for word in self._words]
        try:
            # A group of its own: a command that hangs is ended with all that it started.
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise _bad_command(words[0], f"it cannot be run: {error.strerror}") from error
        try:
            code = process.wait(self._seconds)
        except subprocess.TimeoutExpired:
            return (Failure("check", "timed-out", f"no end after {self._seconds:g} s"),)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return () if code == 0 else (Failure("check", _status(code), ""),)

    def ask_anew(self, model: Model) -> tuple[Failure, ...]:
        return self.ask(model)


def _silent(*_: object) -> None:
    """The many builds of a reduction tell nothing on their way."""


_SILENT = Answer(progress=_silent, note=_silent)


def _status(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit status {code}"


def _bad_command(command: str, what: str) -> ConfigError:
    return ConfigError(
        "bad-check-command",
        what,
        where=f"--check {command!r}",
        hint='name a program and its arguments; {} stands for the model, e.g. --check "python test.py {}"',
    )
