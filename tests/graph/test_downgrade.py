"""Down to older opsets by our own rules: the same numbers, or a reason and the node."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from edgetool import graph
from edgetool.errors import ModelError
from edgetool.graph.opset import convert_opset
from edgetool.graph.save import save
from tests.graph.building import model, run, written

X = np.random.default_rng(0).standard_normal((2, 4, 4, 4), dtype=np.float32)
AXES = {"axes": np.array([1])}
SPLIT = {"parts": np.array([1, 3])}

Case = tuple[onnx.NodeProto, dict[str, np.ndarray[tuple[int, ...], np.dtype[np.int64]]], int, int]
POSSIBLE: dict[str, Case] = {
    "more types only": (helper.make_node("Relu", ["x"], ["y"]), {}, 17, 13),
    "far": (helper.make_node("Abs", ["x"], ["y"]), {}, 23, 11),
    "reduction": (helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=0), AXES, 20, 17),
    "sum": (helper.make_node("ReduceSum", ["x", "axes"], ["y"]), AXES, 17, 12),
    "reduction of all": (helper.make_node("ReduceMax", ["x"], ["y"]), {}, 20, 17),
    "unsqueeze": (helper.make_node("Unsqueeze", ["x", "axes"], ["y"]), AXES, 17, 12),
    "even split": (helper.make_node("Split", ["x"], ["y", "z"], axis=1, num_outputs=2), {}, 20, 17),
    "uneven split": (helper.make_node("Split", ["x", "parts"], ["y", "z"], axis=1), SPLIT, 17, 12),
    "softmax over the last axis": (helper.make_node("Softmax", ["x"], ["y"]), {}, 17, 12),
    "attribute that says the default": (helper.make_node("Shape", ["x"], ["y"], start=0), {}, 17, 13),
    "grid": (helper.make_node("GridSample", ["x", "x_grid"], ["y"], mode="linear"), {}, 20, 16),
}


@pytest.mark.parametrize("case", POSSIBLE)
def test_possible(case: str, tmp_path: Path) -> None:
    node, weights, opset, wanted = POSSIBLE[case]
    nodes = [node]
    arrays: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]] = dict(weights)
    if case == "grid":
        arrays["x_grid"] = np.random.default_rng(1).uniform(-1, 1, (2, 3, 3, 2)).astype(np.float32)
    proto = model(nodes, {"x": [2, 4, 4, 4]}, {"y": None}, arrays, opset=opset)
    if node.op_type == "Shape":
        proto.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    path = written(onnx.shape_inference.infer_shapes(proto), tmp_path / "new.onnx")
    save(convert_opset(graph.load(path), wanted, where="m"), tmp_path / "old.onnx")
    graph.check(tmp_path / "old.onnx")
    assert graph.inspect(tmp_path / "old.onnx").opsets == {"ai.onnx": wanted}
    np.testing.assert_array_equal(run(tmp_path / "old.onnx", {"x": X})[0], run(path, {"x": X})[0])


IMPOSSIBLE = {
    "later operator": (helper.make_node("Gelu", ["x"], ["y"], name="n"), 20, 17, "Gelu came with a later opset"),
    "other axis": (helper.make_node("Softmax", ["x"], ["y"], name="n", axis=1), 17, 12, "another axis than the last"),
    "new attribute": (helper.make_node("Shape", ["x"], ["y"], name="n", start=1), 17, 13, "no attribute start"),
    "computed axes": (helper.make_node("ReduceMean", ["x", "a"], ["y"], name="n"), 20, 17, "are computed"),
    "new mode": (
        helper.make_node(
            "Resize", ["x", "", "s"], ["y"], name="n", coordinate_transformation_mode="half_pixel_symmetric"
        ),
        20,
        17,
        "half_pixel_symmetric",
    ),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_impossible(case: str, tmp_path: Path) -> None:
    node, opset, wanted, words = IMPOSSIBLE[case]
    nodes = [node]
    if "a" in node.input:
        nodes.insert(0, helper.make_node("NonZero", ["zero"], ["a2"]))
        nodes.insert(1, helper.make_node("Reshape", ["a2", "flat"], ["a"]))
    weights = {"s": np.ones(4, np.float32), "zero": np.ones(1, np.float32), "flat": np.array([-1])}
    proto = model(nodes, {"x": [2, 4, 4, 4]}, {"y": None}, weights, opset=opset)
    with pytest.raises(ModelError) as caught:
        convert_opset(proto, wanted, where="net.onnx")
    assert caught.value.code == "opset-conversion-failed"
    assert words in caught.value.message
    assert caught.value.where == "net.onnx: node n"


def test_types_that_the_older_operator_does_not_take(tmp_path: Path) -> None:
    proto = model([helper.make_node("Relu", ["x"], ["y"], name="n")], {"x": [4]}, {"y": [4]})
    for value in (proto.graph.input[0], proto.graph.output[0]):
        value.type.tensor_type.elem_type = onnx.TensorProto.INT32
    with pytest.raises(ModelError):
        save(convert_opset(graph.load(written(proto, tmp_path / "m.onnx")), 13, where="m"), tmp_path / "o.onnx")
