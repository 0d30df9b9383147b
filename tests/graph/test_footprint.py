"""Memory from the graph alone: against sums that are done by hand, and against what the target has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgetool.engine.fit import fits
from edgetool.graph.footprint import memory_need
from edgetool.graph.signature import read_model
from edgetool.signature import DimRange

KIB = 1024


def save(path: Path, nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto], *, batch: str | int = 1) -> Path:
    """A network of float tensors [batch, 256], 1 KiB a sample."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "g", [value("x", TensorProto.FLOAT, [batch, 256])], [value("y", TensorProto.FLOAT, [batch, 256])],
        weights,
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)
    return path


def test_a_chain_needs_two_tensors_and_a_branch_three(tmp_path: Path) -> None:
    node = helper.make_node
    chain = save(tmp_path / "chain.onnx", [node("Relu", ["x"], ["a"], name="first"), node("Tanh", ["a"], ["y"])], [])
    need = memory_need(chain, read_model(chain).signature)
    assert (need.weights, need.activations, need.node) == (0, 2 * KIB, "first")
    nodes = [node("Relu", ["x"], ["a"]), node("Tanh", ["a"], ["b"]), node("Add", ["x", "b"], ["y"], name="join")]
    branch = save(tmp_path / "branch.onnx", nodes, [])
    need = memory_need(branch, read_model(branch).signature)
    assert need.activations == 3 * KIB
    assert sorted(need.tensors) == [("a", KIB), ("b", KIB), ("x", KIB)]


def test_weights_and_the_size_to_tune_for_count(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.zeros((256, 256), np.float32), "w")
    path = save(tmp_path / "net.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"])], [weight], batch="n")
    model = read_model(path, {"n": DimRange(1, 4, 8)})
    need = memory_need(path, model.signature)
    assert (need.weights, need.activations) == (256 * KIB, 8 * KIB)


def test_quantized_tensors_take_a_byte_an_element(tmp_path: Path) -> None:
    node = helper.make_node
    scale = numpy_helper.from_array(np.float32(0.1), "s")
    zero = numpy_helper.from_array(np.int8(0), "z")
    nodes = [
        node("Relu", ["x"], ["a"]), node("QuantizeLinear", ["a", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["b"]), node("Tanh", ["b"], ["c"], name="last"),
        node("Relu", ["c"], ["y"]),
    ]  # fmt: skip
    path = save(tmp_path / "net.onnx", nodes, [scale, zero])
    need = memory_need(path, read_model(path).signature)
    assert need.activations == 2 * KIB  # c and y; a, q and b are the same 256 bytes
    assert need.node not in ("last", None)


@pytest.mark.parametrize(
    ("facts", "engine", "rows"),
    [
        ({}, {}, []),
        ({"ram": 3000}, {}, [("ram", 3000, True)]),
        ({"ram": 2999, "vram": 5000}, {}, [("ram", 3000, False), ("vram", 3000, True)]),
        ({"flash": 700}, {}, [("flash", 800, False)]),
        ({"flash": 700, "ram": 100}, {"flash": 650, "ram": 90}, [("flash", 650, True), ("ram", 90, True)]),
    ],
)
def test_what_the_target_has(facts: dict[str, int], engine: dict[str, int], rows: list[tuple[str, int, bool]]) -> None:
    found = fits(facts, {"weights": 1000, "activations": 2000}, engine, size=800)  # type: ignore[arg-type]
    assert [(row.name, row.need, row.fits) for row in found] == rows
    assert all((row.finding is None) == row.fits for row in found)


def test_unknown_activations_are_said() -> None:
    (row,) = fits({"ram": 3000}, {"weights": 1000, "activations": None}, {}, size=1)
    assert (row.need, row.fits) == (1000, True)
    assert "unknown" in row.parts
