"""What is rewritten for OpenVINO, and what is left alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgetool.artifact import Engine, Model
from edgetool.context import BuildContext
from edgetool.testing import tiny_int8_cnn, tiny_mlp
from edgetool_openvino.backend import OpenVino
from edgetool_openvino.lowering import lower

MakeOnnx = Callable[..., Model]
Build = Callable[..., Engine]
RNG = np.random.default_rng(7)
WEIGHT = RNG.integers(-127, 128, (256, 32)).astype(np.int8)
SCALE = RNG.uniform(0.001, 0.01, 32).astype(np.float32)


def _dynamic(make_onnx: MakeOnnx, *, cast_to: int = TensorProto.FLOAT, **stored: np.ndarray[Any, Any]) -> Model:
    """A product as dynamic quantizers spell it, between a Relu and a Relu."""
    constants = {"w": WEIGHT, "w_scale": SCALE, "w_zero": np.zeros(32, np.int8), **stored}
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], name="before"),
        helper.make_node("DynamicQuantizeLinear", ["r"], ["q", "q_scale", "q_zero"], name="quantize"),
        helper.make_node("MatMulInteger", ["q", "w", "q_zero", "w_zero"], ["i"], name="head"),
        helper.make_node("Cast", ["i"], ["f"], name="cast", to=cast_to),
        helper.make_node("Mul", ["q_scale", "w_scale"], ["s"], name="scales"),
        helper.make_node("Mul", ["f", "s"], ["m"], name="scaled"),
        helper.make_node("Relu", ["m"], ["y"], name="after"),
    ]
    shapes = [("x", TensorProto.FLOAT, ["n", 256])], [("y", TensorProto.FLOAT, ["n", 32])]
    return make_onnx(nodes, *shapes, constants=[numpy_helper.from_array(v, k) for k, v in constants.items()])


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"w_zero": np.zeros((), np.int8)},
        {"w_scale": np.array(0.01, np.float32), "w_zero": np.zeros((), np.int8)},
        {"w": (WEIGHT.astype(np.int16) + 128).astype(np.uint8), "w_zero": np.full(32, 128, np.uint8)},
    ],
    ids=["per channel", "one zero point", "per tensor", "uint8"],
)
def test_quantization_at_run_time_is_left_to_openvino(
    stored: dict[str, np.ndarray[Any, Any]], make_onnx: MakeOnnx, build: Build, context: BuildContext, tmp_path: Path
) -> None:
    model = _dynamic(make_onnx, **stored)
    engine = build(model)
    assert engine.precision == "int8"
    assert [(row.name, row.count) for row in engine.lowerings] == [("dynamic-to-stored-int8", 1)]
    lower(model.path, tmp_path / "lowered.onnx")
    lowered = onnx.load(tmp_path / "lowered.onnx").graph
    assert [(node.op_type, node.name) for node in lowered.node if "Linear" not in node.op_type] == [
        ("Relu", "before"),
        ("MatMul", "head"),
        ("Relu", "after"),
    ]
    x = RNG.normal(size=(3, 256)).astype(np.float32)
    with OpenVino(OpenVino.Options()).open(engine, context) as runner:
        result = runner.infer({"x": x})["y"]
    scale = stored.get("w_scale", SCALE)
    wanted = np.maximum(np.maximum(x, 0) @ (WEIGHT * scale), 0)
    assert np.dot(result.ravel(), wanted.ravel()) / np.linalg.norm(result) / np.linalg.norm(wanted) > 0.999


def test_a_product_that_is_spelled_otherwise_is_left_alone(make_onnx: MakeOnnx, tmp_path: Path) -> None:
    assert lower(_dynamic(make_onnx, cast_to=TensorProto.FLOAT16).path, tmp_path / "lowered.onnx") == ()
    assert lower(_dynamic(make_onnx, w_scale=np.ones((1, 32), np.float32)).path, tmp_path / "lowered.onnx") == ()
    assert not (tmp_path / "lowered.onnx").exists()


def test_what_follows_a_relu_becomes_uint8(build: Build, tmp_path: Path) -> None:
    engine = build(tiny_int8_cnn(tmp_path))
    assert engine.precision == "int8"
    assert [(row.name, row.count) for row in engine.lowerings] == [("int8-to-uint8", 2)]


def test_a_float_model_is_left_alone(tmp_path: Path) -> None:
    assert lower(tiny_mlp(tmp_path).path, tmp_path / "lowered.onnx") == ()
    assert not (tmp_path / "lowered.onnx").exists()


def test_quantized_weights_alone_are_mixed(make_onnx: MakeOnnx, build: Build) -> None:
    constants = [numpy_helper.from_array(WEIGHT, "w"), numpy_helper.from_array(SCALE, "w_scale")]
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "w_scale"], ["d"], name="weights", axis=1),
        helper.make_node("MatMul", ["x", "d"], ["y"], name="head"),
    ]
    shapes = [("x", TensorProto.FLOAT, ["n", 256])], [("y", TensorProto.FLOAT, ["n", 32])]
    engine = build(make_onnx(nodes, *shapes, constants=constants))
    assert engine.precision == "mixed"
    assert engine.path.with_suffix(".bin").stat().st_size < 2 * WEIGHT.nbytes, "weights stay int8 in the engine"
