"""An engine opened in a process of its own: when it crashes, hangs or eats the memory, only that process is gone."""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetool.artifact import Engine
from edgetool.backends.base import Backend, Evidence, Feeds, NodeEvidence, Runner
from edgetool.context import BuildContext
from edgetool.engine.isolate import Answer, Child
from edgetool.engine.tensors import Header, read_tensors, write_tensors
from edgetool.plugin.manager import load_object
from edgetool.signature import Signature, signature_from_json

if TYPE_CHECKING:
    import numpy as np

    from edgetool.validate.data import Dataset


@dataclass(frozen=True, slots=True)
class EngineFile:
    """An Engine across the boundary, and how to open it."""

    loader: str
    options: dict[str, Any]
    backend: str
    directory: Path
    entry: str
    precision: str
    signature: Signature
    threads: int
    facts: dict[str, Any] = field(default_factory=dict)

    def engine(self) -> Engine:
        return Engine(self.backend, self.directory, self.entry, self.precision, self.signature)

    def plugin(self) -> Backend[Any]:
        kind: type[Backend[Any]] = load_object(self.loader, Backend, what=self.backend)
        return kind(kind.Options.model_validate(self.options))

    def context(self) -> BuildContext:
        return BuildContext(threads=self.threads, facts=self.facts)


@dataclass(frozen=True, slots=True)
class TensorsAt:
    """Feeds or results in a file; `runs` is how often to infer with them when timing."""

    path: Path
    header: Header
    runs: int = 1


class Desk:
    """What stays open between the requests of one child."""

    def __init__(self) -> None:
        self.runner: Runner | None = None
        self.file: EngineFile | None = None
        self.datasets: dict[str, Dataset] = {}

    def open(self, file: EngineFile) -> dict[str, Any]:
        self.file = file
        self.runner = file.plugin().open(file.engine(), file.context())
        return {"signature": self.runner.signature.to_json()}

    def infer(self, request: TensorsAt) -> dict[str, Any]:
        results = self._opened().infer(read_tensors(request.path, request.header))
        return {"header": write_tensors(request.path, results)}

    def time(self, request: TensorsAt) -> dict[str, Any]:
        return {"seconds": time_runs(self._opened(), read_tensors(request.path, request.header), request.runs)}

    def memory(self) -> dict[str, Any]:
        return {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}

    def evidence(self) -> dict[str, Any]:
        assert self.file is not None
        found = self.file.plugin().evidence(self.file.engine(), self.file.context())
        return {"nodes": [row.to_json() for row in found.nodes], "unfused": list(found.unfused)}

    def _opened(self) -> Runner:
        if self.runner is None:
            raise RuntimeError("no engine is open")
        return self.runner


def time_runs(runner: Runner, feeds: Feeds, runs: int) -> list[float]:
    """Seconds of each of `runs` inferences."""
    seconds = []
    for _ in range(runs):
        started = time.perf_counter_ns()
        runner.infer(feeds)
        seconds.append((time.perf_counter_ns() - started) / 1e9)
    return seconds


class RemoteRunner(Runner):
    """The other end: a Runner whose engine lives in a child."""

    def __init__(self, child: Child, file: EngineFile, workspace: Path) -> None:
        self._child = child
        self._path = workspace / "tensors"
        self.signature = signature_from_json(self._call("open", file)["signature"])

    def infer(self, feeds: Feeds) -> dict[str, np.ndarray[Any, Any]]:
        answer = self._call("infer", self._at(feeds, 1))
        return read_tensors(self._path, answer["header"])

    def time(self, feeds: Feeds, runs: int) -> list[float]:
        """Seconds of each of `runs` inferences, measured inside the child."""
        seconds: list[float] = self._call("time", self._at(feeds, runs))["seconds"]
        return seconds

    def peak_memory(self) -> int:
        """Bytes of the child's largest resident set so far, its interpreter and runtime included."""
        return int(self._call("memory", None)["peak"])

    def evidence(self) -> Evidence:
        answer = self._call("evidence", None)
        return Evidence(nodes=tuple(NodeEvidence(**row) for row in answer["nodes"]), unfused=tuple(answer["unfused"]))

    def close(self) -> None:
        self._child.close()

    def _at(self, feeds: Feeds, runs: int) -> TensorsAt:
        return TensorsAt(self._path, write_tensors(self._path, feeds), runs)

    def _call(self, task: str, request: object | None) -> Mapping[str, Any]:
        from edgetool.engine.requests import request_json

        silent = Answer(progress=lambda done, total, what: None, note=lambda text: None)
        data = request_json(request) if request is not None else {}
        return self._child.call(f"engine-{task}", data, step=f"engine {task}", answer=silent)
