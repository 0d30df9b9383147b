"""Runs one step at a time: from the cache where it can, else in a child process, and tells about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import edgetool
from edgetool.engine.cache import Cache, Entry, Key, make_key
from edgetool.engine.events import Listener, StepFinished, StepNote, StepProgress, StepStarted
from edgetool.engine.fingerprint import changed_since, file_digests, package_digest
from edgetool.engine.isolate import Answer, Child, Children, Limits
from edgetool.engine.lock import TargetLock
from edgetool.engine.requests import request_json


@dataclass(frozen=True, slots=True)
class StepRequest:
    """What a step does and what its result depends on.

    Attributes:
        name: shown to the user and part of the key.
        task: name in `edgetool.engine.tasks`.
        parts: everything that decides the result and is known beforehand.
        make: builds the task's request, given the folder to write into.
        discovers: the result lists under `files` what else it was read from; those become part of the key.
        isolated: end the child afterwards, so that the framework it loaded is gone.
    """

    name: str
    task: str
    parts: Mapping[str, Any]
    make: Callable[[Path], object]
    discovers: bool = False
    isolated: bool = False


class Stepper:
    """The steps of one target's build. A context manager; leaving it ends its child process."""

    def __init__(
        self,
        *,
        target: str,
        cache: Cache,
        children: Children,
        listener: Listener,
        limits: Limits,
        python: str | None,
        root: Path,
        lock: TargetLock | None = None,
    ) -> None:
        self.target = target
        self.cache = cache
        self._children = children
        self.tell = listener
        self._limits = limits
        self._python = python
        self._root = root
        self._lock = lock
        self._child: Child | None = None
        self._use = ExitStack()
        self.history: list[Key] = []

    def __enter__(self) -> Self:
        self._use.enter_context(self.cache.in_use())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_child()
        self._use.close()

    def run(self, request: StepRequest) -> Entry:
        """The step's entry, from the cache or made now.

        Raises:
            EdgetoolError: whatever the step raised; nothing of a failed step is kept.
        """
        base = make_key(request.name, {**request.parts, "edgetool": _core()})
        if not request.discovers:
            self._hold_to_lock(base)
        if found := self._cached(request, base):
            return found
        with self.cache.lock(base.digest, lambda: self._note(request.name, "another build makes this; waiting for it")):
            return self._cached(request, base) or self._make(request, base)

    def _make(self, request: StepRequest, base: Key) -> Entry:
        started, began = time.monotonic(), time.time()
        self.tell(StepStarted(self.target, request.name))
        with self.cache.workspace() as folder:
            files = folder / "files"
            files.mkdir()
            result = self.call(request.name, request.task, request.make(files))
            if request.isolated:
                self._end_child()
            seconds = time.monotonic() - started
            key = base
            if request.discovers:
                key = self._full_key(request, base, result["files"])
                if changed_since(result["files"], began):
                    # Whoever edits a file while it is read gets this result once, and never from the cache.
                    key = make_key(request.name, {**key.parts, "unsettled": began})
                else:
                    self.cache.remember(self._reader(base), result["files"])
                self._hold_to_lock(key)
            entry = self.cache.put(key, files, result, seconds=seconds)
        self.history.append(key)
        self.tell(StepFinished(self.target, request.name, seconds, False, _summary(result)))
        return entry

    def _cached(self, request: StepRequest, base: Key) -> Entry | None:
        """The entry, told about and remembered, or None."""
        key = base
        if request.discovers:
            files = self.cache.recall(self._reader(base))
            if files is None:
                return None
            key = self._full_key(request, base, files)
            self._hold_to_lock(key)
        entry = self.cache.get(key.digest)
        if entry is not None:
            self.history.append(key)
            self.tell(StepFinished(self.target, request.name, entry.seconds, True, _summary(entry.result)))
        return entry

    def _hold_to_lock(self, key: Key) -> None:
        """Raise `DriftError` where the build is locked and the key is another one."""
        if self._lock is not None:
            self._lock.compare(key)

    def _full_key(self, request: StepRequest, base: Key, files: list[str]) -> Key:
        return make_key(request.name, {**base.parts, "files": file_digests(files, self._root)})

    def _reader(self, base: Key) -> str:
        """Who remembers what was read: two projects may declare the same and read other files, as absolute paths."""
        return make_key("reads", {"base": base.digest, "root": str(self._root)}).digest

    def call(self, step: str, task: str, request: object) -> dict[str, Any]:
        """Run a task in the child, without the cache."""
        if self._child is None:
            self._child = self._children.start(log=self.log_path("steps"), limits=self._limits, python=self._python)
        answer = Answer(
            progress=lambda done, total, what: self.tell(StepProgress(self.target, step, done, total, what)),
            note=lambda text: self._note(step, text),
        )
        with ExitStack() as on_failure:
            on_failure.callback(self._end_child)  # a child that failed may be in any state
            result = self._child.call(task, request_json(request), step=step, answer=answer)
            on_failure.pop_all()
        return result

    def log_path(self, what: str) -> Path:
        """A new file for what a process of this build writes to stdout and stderr."""
        stamp = time.strftime("%Y%m%d-%H%M%S")
        return self.cache.root / "logs" / f"{stamp}-{self.target}-{what}-{time.monotonic_ns()}.log"

    def _note(self, step: str, text: str) -> None:
        self.tell(StepNote(self.target, step, text))

    def _end_child(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None


def _core() -> str:
    return f"{edgetool.__version__} {package_digest('edgetool')[:16]}"


def _summary(result: Mapping[str, Any]) -> str:
    """A few words about a result, for the line that reports it."""
    if result.get("changed") is False:
        return "nothing to do"
    facts = result.get("facts")
    return str(facts["summary"]) if isinstance(facts, dict) and "summary" in facts else ""
