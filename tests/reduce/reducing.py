"""Reducing for the tests without the command line: with a backend in a child process, or with a mere function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx

from edgetool.artifact import Model
from edgetool.engine.desk import Desk, Talk
from edgetool.engine.isolate import Children, Limits
from edgetool.engine.requests import ModelFile, Plug
from edgetool.graph import read_model
from edgetool.reduce.failure import Failure
from edgetool.reduce.oracle import Asked as AskedBackend
from edgetool.reduce.oracle import BackendOracle, Oracle
from edgetool.reduce.parts import Seams
from edgetool.reduce.reduction import Reduction, Wishes, reduce_model
from edgetool.reduce.seams import SeamsTask, read_seams, run_seams
from edgetool.signature import DimRange


class Reduced:
    """A reduction, and what it wrote."""

    def __init__(self, found: Reduction) -> None:
        self.found = found
        self.model = onnx.load(found.model.path)

    @property
    def operators(self) -> list[str]:
        return [node.op_type for node in self.model.graph.node]


class Asked:
    """An oracle that is a function of the model."""

    def __init__(self, fails: Callable[[Model], Failure | None]) -> None:
        self._fails = fails

    def ask(self, model: Model) -> tuple[Failure, ...]:
        found = self._fails(model)
        return (found,) if found else ()

    ask_anew = ask


def reduce_by_backend(plug: Plug, network: Path, folder: Path, wishes: Wishes, *, seconds: float) -> Reduced:
    """Ask a backend in a child process; each question may take so many seconds."""
    asked = AskedBackend("tested", plug, threads=1, runs=False, limits=Limits(seconds), python=None, log=folder / "log")
    children = Children()
    try:
        with BackendOracle(asked, children) as oracle:
            return reduce_by(oracle, network, folder, wishes)
    finally:
        children.interrupt()


def reduce_by(oracle: Oracle, network: Path, folder: Path, wishes: Wishes) -> Reduced:
    """Reduce a network whose batch goes from 1 to 4."""
    found = reduce_model(
        read_model(network, {"batch": DimRange(1, 1, 4)}),
        oracle,
        folder / "reduced.onnx",
        wishes,
        scratch=folder,
        find_seams=lambda model: _seams(model, folder),
        tell=_quiet,
    )
    return Reduced(found)


def _seams(model: Model, folder: Path) -> Seams:
    run_seams(SeamsTask(ModelFile(model.path, model.signature), folder, 1, look=True), Talk(_quiet, _quiet, Desk()))
    return read_seams(folder)


def _quiet(*_: object) -> None: ...
