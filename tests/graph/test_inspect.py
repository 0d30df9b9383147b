"""Numbers of an inspection against those worked out by hand; and what is unknown is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgetool import graph
from edgetool.signature import DimRange
from tests.graph.building import linear, model, with_external_weight, written


def _macs(node: onnx.NodeProto, x: list[int | str], folder: Path, **weights: tuple[int, ...]) -> graph.Inspection:
    arrays = {name: np.ones(shape, np.float32) for name, shape in weights.items()}
    proto = model([node], {"x": x}, {"y": None}, arrays)
    return graph.inspect(written(proto, folder / "m.onnx"))


CASES = {
    "conv": (helper.make_node("Conv", ["x", "w"], ["y"]), [1, 3, 8, 8], {"w": (5, 3, 3, 3)}, 5 * 6 * 6 * 27),
    "depthwise": (helper.make_node("Conv", ["x", "w"], ["y"], group=4), [1, 4, 5], {"w": (4, 1, 3)}, 4 * 3 * 3),
    "transposed": (
        helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2]),
        [1, 3, 4, 4],
        {"w": (3, 2, 2, 2)},
        3 * 16 * 2 * 4,
    ),
    "matmul": (helper.make_node("MatMul", ["x", "w"], ["y"]), [2, 7, 4], {"w": (4, 6)}, 2 * 7 * 6 * 4),
    "gemm": (helper.make_node("Gemm", ["x", "w"], ["y"], transA=1, transB=1), [4, 2], {"w": (5, 4)}, 2 * 5 * 4),
    "lstm": (
        helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=6),
        [10, 2, 3],
        {"w": (1, 24, 3), "r": (1, 24, 6)},
        10 * 2 * 24 * 9,
    ),
    "gru": (
        helper.make_node("GRU", ["x", "w", "r"], ["", "y"], hidden_size=6, direction="bidirectional"),
        [10, 2, 3],
        {"w": (2, 18, 3), "r": (2, 18, 6)},
        10 * 2 * 2 * 18 * 9,
    ),
    "elementwise": (helper.make_node("Relu", ["x"], ["y"]), [1, 3], {}, 0),
}


@pytest.mark.parametrize("case", CASES)
def test_multiply_accumulates(case: str, tmp_path: Path) -> None:
    node, x, weights, expected = CASES[case]
    inspection = _macs(node, x, tmp_path, **weights)
    assert inspection.macs.value == expected
    assert inspection.macs.is_exact


def test_numbers_are_taken_at_opt(tmp_path: Path) -> None:
    path = written(linear(), tmp_path / "m.onnx")
    inspection = graph.inspect(path, {"batch": DimRange(1, 5, 9)})
    assert inspection.shapes == {"x": (5, 4)}
    assert inspection.macs.value == 5 * 16
    assert inspection.activations.value == 2 * 5 * 4 * 4  # x with the product, then the product with y
    assert inspection.memory.value == 64 + 160


def test_summary(tmp_path: Path) -> None:
    path = with_external_weight(tmp_path)
    inspection = graph.inspect(path)
    assert inspection.files == {"model.onnx": path.stat().st_size, "w.bin": 64}
    assert inspection.operators == {"MatMul": 1, "Relu": 1}
    assert (inspection.nodes, inspection.parameters, inspection.weight_bytes) == (2, 16, 64)
    assert inspection.opsets == {"ai.onnx": 17}
    assert json.loads(json.dumps(inspection.to_json()))["macs"] == {"value": 16, "exact": True, "unknown": []}


def test_views_take_no_memory(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["flat"]),
        helper.make_node("Identity", ["flat"], ["same"]),
        helper.make_node("Relu", ["same"], ["y"]),
    ]
    proto = model(nodes, {"x": [2, 4]}, {"y": [8]}, {"shape": np.array([8])})
    assert graph.inspect(written(proto, tmp_path / "m.onnx")).activations.value == 2 * 32


def test_a_tensor_lives_until_its_last_reader(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Neg", ["a"], ["b"]),
        helper.make_node("Abs", ["b"], ["c"]),
        helper.make_node("Add", ["a", "c"], ["y"]),
    ]
    proto = model(nodes, {"x": [8]}, {"y": [8]})
    assert graph.inspect(written(proto, tmp_path / "m.onnx")).activations.value == 3 * 32


def test_shapes_that_the_graph_computes(tmp_path: Path) -> None:
    """Shape inference alone stops at the Reshape; folding at concrete sizes does not."""
    nodes = [
        helper.make_node("ConstantOfShape", ["two"], ["zeros"]),
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Cast", ["zeros"], ["zero"], to=TensorProto.INT64),
        helper.make_node("Add", ["shape", "zero"], ["target"]),
        helper.make_node("Reshape", ["x", "target"], ["r"], name="reshape"),
        helper.make_node("MatMul", ["r", "w"], ["y"], name="product"),
    ]
    weights = {"two": np.array([2]), "w": np.ones((4, 4), np.float32)}
    inspection = graph.inspect(
        written(model(nodes, weights=weights), tmp_path / "m.onnx"), {"batch": DimRange(1, 3, 3)}
    )
    assert (inspection.macs.value, inspection.macs.unknown) == (48, ())


def test_what_depends_on_data_is_unknown_not_wrong(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["where"], name="search"),
        helper.make_node("Cast", ["where"], ["found"], to=TensorProto.FLOAT, name="cast"),
        helper.make_node("Transpose", ["found"], ["t"], name="turn"),
        helper.make_node("MatMul", ["t", "w"], ["y"], name="product"),
    ]
    proto = model(nodes, {"x": [3, 4]}, {"y": [None, 4]}, {"w": np.ones((2, 4), np.float32)})
    inspection = graph.inspect(written(proto, tmp_path / "m.onnx"))
    assert inspection.macs.unknown == ("product",)
    assert str(inspection.macs) == "at least 0"
    assert "search" in inspection.activations.unknown


def test_of_two_branches_the_cheaper_counts_and_the_node_is_named(tmp_path: Path) -> None:
    def branch(name: str, weight: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4])
        wide = helper.make_node("MatMul", ["x", weight], [f"{name}_h"], name=f"{name}_1")
        back = helper.make_node("MatMul", [f"{name}_h", f"{weight}_back"], [name], name=f"{name}_2")
        return helper.make_graph([wide, back], name, [], [out])

    nodes = [
        helper.make_node("ReduceMax", ["x"], ["peak"], keepdims=0),
        helper.make_node("Cast", ["peak"], ["condition"], to=TensorProto.BOOL),
        helper.make_node(
            "If", ["condition"], ["y"], name="choice", then_branch=branch("a", "wide"), else_branch=branch("b", "thin")
        ),
    ]
    shapes = {"wide": (4, 9), "wide_back": (9, 4), "thin": (4, 2), "thin_back": (2, 4)}
    weights = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    inspection = graph.inspect(written(model(nodes, {"x": [1, 4]}, {"y": [1, 4]}, weights), tmp_path / "m.onnx"))
    assert inspection.macs.value == 16
    assert inspection.macs.unknown == ("choice",)
    assert inspection.operators["MatMul"] == 4
