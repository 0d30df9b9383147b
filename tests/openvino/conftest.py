"""Fixtures shared by the tests of the OpenVINO backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import helper

from edgetool.artifact import Engine, Model
from edgetool.context import BuildContext
from edgetool.graph import read_model
from edgetool.signature import DimRange
from edgetool_openvino.backend import OpenVino

MakeOnnx = Callable[..., Model]
Build = Callable[..., Engine]


@pytest.fixture
def context() -> BuildContext:
    return BuildContext(threads=1)


@pytest.fixture
def make_onnx(tmp_path: Path) -> MakeOnnx:
    """Writes a model from nodes and `(name, element type, shape)` triples."""

    def make(
        nodes: Sequence[onnx.NodeProto],
        inputs: Sequence[tuple[str, int, Sequence[Any]]],
        outputs: Sequence[tuple[str, int, Sequence[Any]]],
        *,
        constants: Sequence[onnx.TensorProto] = (),
        dims: dict[str, DimRange] | None = None,
        domain: str | None = None,
    ) -> Model:
        graph = helper.make_graph(
            nodes,
            "made",
            [helper.make_tensor_value_info(*row) for row in inputs],
            [helper.make_tensor_value_info(*row) for row in outputs],
            constants,
        )
        opsets = [helper.make_opsetid("", 21)] + ([helper.make_opsetid(domain, 1)] if domain else [])
        folder = tmp_path / "made"
        folder.mkdir(exist_ok=True)
        path = folder / "made.onnx"
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
        return read_model(path, dims or {})

    return make


@pytest.fixture
def build(tmp_path: Path, context: BuildContext) -> Build:
    """Builds an engine with options, each into a folder of its own."""
    count = iter(range(100))

    def run(model: Model, **options: Any) -> Engine:
        directory = tmp_path / f"engine-{next(count)}"
        directory.mkdir()
        return OpenVino(OpenVino.Options(**options)).build(model, directory, context)

    return run
