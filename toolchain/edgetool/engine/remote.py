"""An engine opened in a process of its own: when it crashes, hangs or eats the memory, only that process is gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetool.artifact import Facts
from edgetool.backends.base import Evidence, NodeEvidence
from edgetool.disk import host_errors
from edgetool.engine.isolate import Answer, Child
from edgetool.engine.requests import EngineFile, TensorsAt, request_json
from edgetool.engine.tensors import read_tensors, write_tensors
from edgetool.runner import Feeds, Runner
from edgetool.signature import signature_from_json

if TYPE_CHECKING:
    import numpy as np


_SILENT = Answer(progress=lambda done, total, what: None, note=lambda text: None)


class RemoteRunner(Runner):
    """The other end: a Runner whose engine lives in a child.

    Args:
        child: a fresh one.
        file: what it is to open.
        workspace: a folder for tensors on their way.
        meanwhile: what there is to do here anyway while the child imports its runtime and opens the engine.
    """

    def __init__(
        self, child: Child, file: EngineFile, workspace: Path, *, meanwhile: Callable[[], object] = lambda: None
    ) -> None:
        self._child = child
        self._path = workspace / "tensors"
        child.send("engine-open", request_json(file), step="engine open")
        meanwhile()
        opened = child.receive(step="engine open", answer=_SILENT)
        self.signature = signature_from_json(opened["signature"])
        self.elsewhere = opened["elsewhere"]
        self.emulated = opened["emulated"]

    def infer(self, feeds: Feeds) -> dict[str, np.ndarray[Any, Any]]:
        answer = self._call("infer", self._at(feeds, 1))
        return read_tensors(self._path, answer["header"])

    def time(self, feeds: Feeds, runs: int) -> list[float]:
        """Seconds of each of `runs` inferences, measured inside the child."""
        seconds: list[float] = self._call("time", self._at(feeds, runs))["seconds"]
        return seconds

    def conditions(self) -> Facts:
        return dict(self._call("conditions", None))

    def peak_memory(self) -> int:
        """Bytes of the child's largest resident set so far, its interpreter and runtime included.

        Where the engine runs elsewhere, bytes of the engine there.
        """
        return int(self._call("memory", None)["peak"])

    def evidence(self) -> Evidence:
        answer = self._call("evidence", None)
        return Evidence(nodes=tuple(NodeEvidence(**row) for row in answer["nodes"]), unfused=tuple(answer["unfused"]))

    def close(self) -> None:
        self._child.close()

    def _at(self, feeds: Feeds, runs: int) -> TensorsAt:
        with host_errors(self._path):  # else a full disk would be taken for an engine that does not run
            return TensorsAt(self._path, write_tensors(self._path, feeds), runs)

    def _call(self, task: str, request: object | None) -> Mapping[str, Any]:
        data = request_json(request) if request is not None else {}
        return self._child.call(f"engine-{task}", data, step=f"engine {task}", answer=_SILENT)
