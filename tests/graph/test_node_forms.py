"""Nodes that their operators do not allow are refused by name, before any library trusts them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from edgetool import graph
from edgetool.errors import ModelError

X = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])
Y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)


def _node(op_type: str, *inputs: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op_type, list(inputs), ["y"], name="n", **attributes)


def _twice() -> onnx.NodeProto:
    node = _node("Softmax", "x", axis=1)
    node.attribute.add().CopyFrom(node.attribute[0])
    return node


def _without_value() -> onnx.NodeProto:
    node = _node("Constant", value=helper.make_tensor("v", TensorProto.FLOAT, [], [1.0]))
    node.attribute[0].ClearField("t")
    return node


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda: _node("Add", "x"), "has 1 inputs, but its operator takes 2"),
        (lambda: _node("Relu", "x", "x"), "has 2 inputs, but its operator takes 1"),
        (lambda: _node("Softmax", "x", axis=1.5), "attribute 'axis' of type 1 instead of 2"),
        (lambda: _node("Softmax", "x", axle=1), "has no attribute 'axle'"),
        (lambda: _node("Cast", "x"), "lacks its attribute 'to'"),
        (_twice, "has attribute 'axis' twice"),
        (_without_value, "'value' without a value"),
    ],
)
def test_what_operators_do_not_allow(make: Callable[[], onnx.NodeProto], fault: str, tmp_path: Path) -> None:
    model = helper.make_model(helper.make_graph([make()], "g", [X], [Y]), opset_imports=[helper.make_opsetid("", 18)])
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError) as error:
        graph.inspect(tmp_path / "m.onnx")
    assert error.value.code == "invalid-model"
    assert fault in error.value.message
    assert "node n" in str(error.value.where)


@pytest.mark.parametrize("names", [("f",), ("f", "g")])
def test_functions_that_call_themselves(names: tuple[str, ...], tmp_path: Path) -> None:
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    functions = [
        helper.make_function("own", name, ["a"], ["b"], [helper.make_node(called, ["a"], ["b"], domain="own")], opsets)
        for name, called in zip(names, (*names[1:], names[0]), strict=True)
    ]
    call = helper.make_node("f", ["x"], ["y"], domain="own")
    model = helper.make_model(helper.make_graph([call], "g", [X], [Y]), opset_imports=opsets, functions=functions)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="functions call each other") as error:
        graph.inspect(tmp_path / "m.onnx")
    assert error.value.code == "graph-cycle"
