"""An engine that stays open from one task to the next: who compares it on samples often times it right after."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from edgetool.disk import scratch_folder
from edgetool.engine.isolate import Children, Limits
from edgetool.engine.remote import RemoteRunner
from edgetool.engine.requests import EngineFile


class HeldEngine:
    """At most one engine, in a process of its own."""

    def __init__(self) -> None:
        self._file: EngineFile | None = None
        self._runner: RemoteRunner | None = None
        self._stack = ExitStack()

    def open(
        self, file: EngineFile, log: Path, seconds: float, *, memory: int | None = None, python: str | None = None
    ) -> RemoteRunner:
        """Open it and keep it so, in place of what was held before.

        Raises:
            EdgetoolError: it cannot be opened; nothing is held then.
        """
        self.close()
        with ExitStack() as stack:
            folder = stack.enter_context(scratch_folder("edgetool-engine"))
            child = stack.enter_context(Children().start(log=log, limits=Limits(seconds, memory), python=python))
            runner = stack.enter_context(RemoteRunner(child, file, folder))
            self._stack = stack.pop_all()
        self._file, self._runner = file, runner
        return runner

    def get(self, file: EngineFile) -> RemoteRunner | None:
        """What is held, if it is this engine."""
        return self._runner if file == self._file else None

    def close(self) -> None:
        self._file = self._runner = None
        self._stack.close()
