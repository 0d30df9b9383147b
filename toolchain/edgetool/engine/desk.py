"""The inside of a child process between two requests: an engine that stays open, samples that stay read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from edgetool.engine.memory import give_back, peak_resident
from edgetool.engine.records import adapter
from edgetool.engine.requests import EngineFile, TensorsAt
from edgetool.engine.tensors import read_tensors, write_tensors
from edgetool.runner import Runner

if TYPE_CHECKING:
    from edgetool.engine.held import HeldEngine
    from edgetool.validate.data import Dataset


class Desk:
    """What stays open between the requests of one child.

    Attributes:
        runner: an engine, where this child was asked to open one.
        datasets: samples that were read.
        kept: what passes learnt from samples, for the next pass.
        held: another engine, in a child of this child; None until there is one.
    """

    def __init__(self) -> None:
        self.runner: Runner | None = None
        self.file: EngineFile | None = None
        self.datasets: dict[str, Dataset] = {}
        self.kept: dict[str, Any] = {}
        self.held: HeldEngine | None = None

    def open(self, file: EngineFile) -> dict[str, Any]:
        self.file = file
        self.runner = file.plugin().open(file.engine(), file.context())
        return {
            "signature": self.runner.signature.to_json(),
            "elsewhere": self.runner.elsewhere,
            "emulated": self.runner.emulated,
        }

    def infer(self, request: TensorsAt) -> dict[str, Any]:
        results = self._opened().infer(read_tensors(request.path, request.header))
        return {"header": write_tensors(request.path, results)}

    def time(self, request: TensorsAt) -> dict[str, Any]:
        return {"seconds": self._opened().time(read_tensors(request.path, request.header), request.runs)}

    def conditions(self) -> dict[str, Any]:
        return dict(self._opened().conditions())

    def memory(self) -> dict[str, Any]:
        elsewhere = self.runner.peak_memory() if self.runner else None
        return {"peak": peak_resident() if elsewhere is None else elsewhere}

    def evidence(self) -> dict[str, Any]:
        assert self.file is not None
        if self.runner is not None:  # a backend may open the engine once more to see how it executes
            self.runner.close()
            self.runner = None
            give_back()
        found = self.file.plugin().evidence(self.file.engine(), self.file.context())
        return {"nodes": [row.to_json() for row in found.nodes], "unfused": list(found.unfused)}

    def close(self) -> None:
        """End what this child began and did not end."""
        if self.held is not None:
            self.held.close()

    def _opened(self) -> Runner:
        if self.runner is None:
            raise RuntimeError("no engine is open")
        return self.runner


@dataclass(frozen=True, slots=True)
class Talk:
    """How a task speaks while it works, and what stays open in its process between two tasks."""

    progress: Callable[[int, int, str], None]
    note: Callable[[str], None]
    desk: Desk


Result: TypeAlias = dict[str, Any]
"""What a task answers, as JSON."""
Handler: TypeAlias = Callable[[Mapping[str, Any], Talk], Result]


def handler(kind: type[Any], run: Callable[[Any, Talk], Result]) -> Handler:
    """A function on a request of this kind as a function on its JSON."""

    def handle(request: Mapping[str, Any], talk: Talk) -> Result:
        return run(adapter(kind).validate_python(request), talk)

    return handle


TASKS: Mapping[str, Handler] = {
    "engine-open": handler(EngineFile, lambda file, talk: talk.desk.open(file)),
    "engine-infer": handler(TensorsAt, lambda tensors, talk: talk.desk.infer(tensors)),
    "engine-time": handler(TensorsAt, lambda tensors, talk: talk.desk.time(tensors)),
    "engine-conditions": lambda _, talk: talk.desk.conditions(),
    "engine-memory": lambda _, talk: talk.desk.memory(),
    "engine-evidence": lambda _, talk: talk.desk.evidence(),
}
"""All that a process is asked which has an engine open."""
