"""The parser's verdict: every node that it refuses, with a reason that says something."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgetool.artifact import Model
from edgetool.errors import ModelError
from edgetool.graph import read_model
from edgetool.testing import ALL_MODELS, MakeModel, foreign_operator, tiny_mlp
from edgetool_tensorrt.rtx.parser import verdict
from tests.tensorrt import typed_models as typed

pytest.importorskip("tensorrt_rtx")

FLOAT, INT8, INT32 = TensorProto.FLOAT, TensorProto.INT8, TensorProto.INT32


def refused(model: Model) -> dict[str, str]:
    """Node to reason."""
    found = verdict(model)
    assert not found.accepted
    return {row.node: row.reason for row in found.rows}


def quantized(folder: Path, zero: np.ndarray[Any, Any]) -> Model:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], name="quantize"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], name="dequantize"),
    ]
    constants = {"s": np.array(0.1, np.float32), "z": zero}
    return read_model(typed.save(folder / "model.onnx", nodes, [("x", FLOAT, (4,))], [("y", FLOAT, (4,))], constants))


@pytest.mark.parametrize("make", ALL_MODELS, ids=lambda make: make.__name__)
def test_accepts_what_it_knows(tmp_path: Path, make: MakeModel) -> None:
    found = verdict(make(tmp_path))
    assert found.accepted and found.rows == ()


def test_all_bad_nodes_in_one_pass(tmp_path: Path) -> None:
    """Nodes without a name are called by operator and place."""
    nodes = [
        helper.make_node("Relu", ["m"], ["a"], name="fine"),
        helper.make_node("Det", ["a"], ["d"]),
        helper.make_node("Unique", ["x"], ["u"], name="unique"),
        helper.make_node("BitwiseNot", ["i"], ["b"], name="not"),
    ]
    path = typed.save(
        tmp_path / "model.onnx",
        nodes,
        [("m", FLOAT, (2, 2)), ("x", FLOAT, (4,)), ("i", INT32, (4,))],
        [("d", FLOAT, ()), ("u", FLOAT, (None,)), ("b", INT32, (4,))],
    )
    assert refused(read_model(path)) == {
        "Det#1": "the parser has no Det",
        "unique": "the parser has no Unique",
        "not": "the parser has no BitwiseNot",
    }


def test_both_branches_are_looked_into(tmp_path: Path) -> None:
    """The parser itself stops at the first fault inside an If."""
    branches = {
        f"{name}_branch": helper.make_graph(
            [helper.make_node("Det", ["m"], [f"{name}_y"], name=f"{name}_det")],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_y", FLOAT, ())],
        )
        for name in ("then", "else")
    }
    nodes = [
        helper.make_node("ReduceMean", ["m"], ["mean"], name="mean", keepdims=0),
        helper.make_node("Greater", ["mean", "zero"], ["positive"], name="positive"),
        helper.make_node("If", ["positive"], ["y"], name="branch", **branches),
    ]
    constants = {"zero": np.array(0, np.float32)}
    path = typed.save(tmp_path / "model.onnx", nodes, [("m", FLOAT, (2, 2))], [("y", FLOAT, ())], constants)
    rows = refused(read_model(path))
    assert rows["then_det"] == rows["else_det"] == "the parser has no Det"
    assert "mean" not in rows


def test_a_foreign_operator(tmp_path: Path) -> None:
    reason = refused(foreign_operator(tmp_path))["mystery"]
    assert reason == "Mystery is no operator of ONNX, and there is no plugin of that name"


@pytest.mark.parametrize("zero", [np.array(3, np.int8), np.array(128, np.uint8)])
def test_zero_points(tmp_path: Path, zero: np.ndarray[Any, Any]) -> None:
    reason = refused(quantized(tmp_path, zero))["quantize"]
    assert reason == "its zero point is not zero, and quantization has to be symmetric"


def test_symmetric_quantization_is_accepted(tmp_path: Path) -> None:
    assert verdict(quantized(tmp_path, np.array(0, np.int8))).accepted


def test_quantized_bias(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["b", "s"], ["bias"], name="bias"),
        helper.make_node("Add", ["x", "bias"], ["y"], name="add"),
    ]
    constants = {"b": np.zeros(4, np.int32), "s": np.array(0.1, np.float32)}
    path = typed.save(tmp_path / "model.onnx", nodes, [("x", FLOAT, (4,))], [("y", FLOAT, (4,))], constants)
    assert refused(read_model(path))["bias"] == "it dequantizes int32, most likely a bias: biases stay in float"


def test_integer_kernels(tmp_path: Path) -> None:
    node = helper.make_node("MatMulInteger", ["x", "w"], ["y"], name="product")
    constants = {"w": np.zeros((4, 3), np.int8)}
    path = typed.save(tmp_path / "model.onnx", [node], [("x", INT8, (2, 4))], [("y", INT32, (2, 3))], constants)
    reason = refused(read_model(path))["product"]
    assert reason == "the parser has no MatMulInteger: quantize as Q/DQ pairs (`quantize-static`)"


def test_types_it_does_not_know(tmp_path: Path) -> None:
    node = helper.make_node("Identity", ["x"], ["y"], name="identity")
    short = TensorProto.INT16
    path = typed.save(tmp_path / "model.onnx", [node], [("x", short, (4,))], [("y", short, (4,))])
    assert any("element type" in reason for reason in refused(read_model(path)).values())


@pytest.mark.parametrize("content", [b"", b"hello world"])
def test_what_is_no_model_never_counts_as_accepted(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError):
        verdict(Model(path, tiny_mlp(tmp_path).signature))


def test_external_data_are_found(tmp_path: Path) -> None:
    path = tmp_path / "apart.onnx"
    proto = onnx.load(tiny_mlp(tmp_path).path)
    onnx.save(proto, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert verdict(read_model(path)).accepted
