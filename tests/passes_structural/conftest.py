"""Applies a pass as the framework does, with ONNX Runtime as the reference."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgetool import graph
from edgetool.artifact import Model
from edgetool.context import PassContext
from edgetool.passes.base import AnyPass, PassResult
from edgetool.testing.samples import GivenSamples
from edgetool_onnxruntime.reference import open_onnx

Feed = Mapping[str, np.ndarray[Any, Any]]


@dataclass
class Applying:
    """Applies passes one after the other, each into a folder of its own, and keeps the notes."""

    folder: Path
    notes: list[str] = field(default_factory=list)

    def __call__(
        self, chosen: AnyPass, model: Model | onnx.ModelProto | Path, feeds: Sequence[Feed] = ()
    ) -> PassResult:
        folder = self.folder / str(len(list(self.folder.iterdir())))
        folder.mkdir()
        context = PassContext(
            threads=1,
            open_reference=functools.partial(open_onnx, threads=1),
            calibration=GivenSamples(feeds) if feeds else None,
            note=self.notes.append,
        )
        if isinstance(model, onnx.ModelProto):
            source = self.folder / f"{folder.name}.onnx"
            source.write_bytes(model.SerializeToString())
            model = graph.read_model(source)
        elif isinstance(model, Path):
            model = graph.read_model(model)
        refusals = [str(problem) for problem in chosen.check(model) if problem.severity == "refuse"]
        assert not refusals, refusals
        result = chosen.apply(model, folder, context)
        if result.changed:
            onnx.checker.check_model(str(result.model.path), full_check=True)
            assert graph.read_model(result.model.path, model.signature.dims).signature == result.model.signature
        return result


@pytest.fixture
def applying(tmp_path: Path) -> Applying:
    return Applying(tmp_path)


@pytest.fixture
def run() -> Callable[[Path, Feed], dict[str, np.ndarray[Any, Any]]]:
    """What ONNX Runtime computes."""

    def run(path: Path, feeds: Feed) -> dict[str, np.ndarray[Any, Any]]:
        with open_onnx(path, threads=1) as runner:
            return runner.infer(feeds)

    return run
