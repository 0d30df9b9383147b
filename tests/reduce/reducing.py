"""Reducing in this process, for the tests: the oracle's child is real, the command line is left out."""

from __future__ import annotations

from pathlib import Path

import onnx

from edgetool.artifact import Model
from edgetool.engine.desk import Desk, Talk
from edgetool.engine.isolate import Children, Limits
from edgetool.engine.requests import ModelFile, Plug
from edgetool.graph import read_model
from edgetool.reduce.oracle import Asked, BackendOracle
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


def reduce_with(plug: Plug, network: Path, folder: Path, wishes: Wishes, *, seconds: float) -> Reduced:
    """Reduce a network whose batch goes from 1 to 4; each question may take so many seconds."""
    asked = Asked("tested", plug, threads=1, runs=False, limits=Limits(seconds), python=None, log=folder / "log")
    children = Children()
    try:
        with BackendOracle(asked, children) as oracle:
            found = reduce_model(
                read_model(network, {"batch": DimRange(1, 1, 4)}),
                oracle,
                folder / "reduced.onnx",
                wishes,
                scratch=folder,
                find_seams=lambda model: _seams(model, folder),
                tell=_quiet,
            )
    finally:
        children.interrupt()
    return Reduced(found)


def _seams(model: Model, folder: Path) -> Seams:
    run_seams(SeamsTask(ModelFile(model.path, model.signature), folder, 1, look=True), Talk(_quiet, _quiet, Desk()))
    return read_seams(folder)


def _quiet(*_: object) -> None: ...
