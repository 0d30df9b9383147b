"""Writes small graphs that put one thing to the test each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import onnx
import pytest
from onnx import helper

WriteGraph: TypeAlias = Callable[..., Path]


@pytest.fixture
def write_graph(tmp_path: Path) -> WriteGraph:
    """Write a graph as it is, however broken; returns its path."""

    def write(
        nodes: Sequence[onnx.NodeProto],
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
        weights: Sequence[onnx.TensorProto] = (),
        *,
        opset: int = 19,
        ir_version: int = 10,
    ) -> Path:
        imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
        graph = helper.make_graph(nodes, "test", inputs, outputs, weights)
        path = tmp_path / "graph.onnx"
        path.write_bytes(helper.make_model(graph, opset_imports=imports, ir_version=ir_version).SerializeToString())
        return path

    return write
