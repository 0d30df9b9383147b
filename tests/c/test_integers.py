"""int8 networks: computed in integers, with weights that stay int8 in flash."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from edgetool.artifact import Engine, Model
from edgetool.graph import load, read_model
from edgetool.testing import tiny_int8_cnn
from edgetool.testing.samples import feeds_for
from edgetool_c.backend import PlainC
from edgetool_c.integers import in_integers
from edgetool_c.options import COptions
from tests.c.conftest import CONTEXT
from tests.c.fixing import fixed
from tests.c.writing import random, reference, written

HOST = COptions(board="host")
ZERO_POINT = np.int8(3)


def quantized(
    folder: Path,
    op_type: str,
    x: tuple[int, ...],
    weight: tuple[int, ...],
    *,
    axis: int = 0,
    per_channel: bool = True,
    zero_point: Any = ZERO_POINT,
    weight_zero: int = 0,
    bias: bool = True,
    **attributes: Any,
) -> Model:
    """One quantized node between Q/DQ pairs."""
    channels = weight[axis]
    random_int8 = np.random.default_rng(1).integers(-127, 128, weight).astype(np.int8)
    scales = np.linspace(0.01, 0.02, channels).astype(np.float32) if per_channel else np.float32(0.01)
    zeros = np.full(channels if per_channel else (), weight_zero, np.int8)
    constants = {"s": np.float32(0.05), "z": zero_point, "w": random_int8, "ws": scales, "wz": zeros}
    inputs = ["x_dq", "w_dq"]
    if bias and op_type != "MatMul":
        constants["b"] = random(channels, seed=2)
        inputs.append("b")
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["x_q"]),
        helper.make_node("DequantizeLinear", ["x_q", "s", "z"], ["x_dq"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["w_dq"], axis=axis),
        helper.make_node(op_type, inputs, ["y"], name="product", **attributes),
    ]
    stored = {name: np.asarray(array) for name, array in constants.items()}
    return written(folder / "q.onnx", nodes, [("x", x)], [("y", ["?"] * len(x))], stored)


FORMS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "conv": (("Conv", (1, 3, 6, 6), (4, 3, 3, 3)), {"pads": [1, 1, 1, 1]}),
    "depthwise": (("Conv", (1, 4, 6, 6), (4, 1, 3, 3)), {"group": 4, "strides": [2, 2]}),
    "conv1d": (("Conv", (1, 3, 9), (5, 3, 4)), {"dilations": [2]}),
    "without bias": (("Conv", (1, 3, 6, 6), (4, 3, 1, 1)), {"bias": False}),
    "uint8": (("Conv", (1, 3, 6, 6), (4, 3, 3, 3)), {"zero_point": np.uint8(130), "pads": [1, 1, 1, 1]}),
    "per tensor": (("Conv", (1, 3, 6, 6), (4, 3, 3, 3)), {"per_channel": False}),
    "gemm": (("Gemm", (2, 7), (5, 7)), {"transB": 1}),
    "gemm, weight as it is": (("Gemm", (2, 7), (7, 5)), {"axis": 1}),
    "matmul": (("MatMul", (2, 3, 7), (7, 5)), {"axis": 1}),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_products_of_integers_are_those_of_the_pairs(
    form: tuple[tuple[Any, ...], dict[str, Any]], tmp_path: Path, build: Callable[..., Engine]
) -> None:
    arguments, options = form
    model = _with_shapes(quantized(tmp_path, *arguments, **options))
    engine = build(model, HOST)
    assert engine.lowerings[0].name == "integer-products"
    feeds = {"x": random(*arguments[1], seed=3)}
    with PlainC(HOST).open(engine, CONTEXT) as runner:
        found, wanted = runner.infer(feeds)["y"], reference(model, feeds)["y"]
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize(
    "change",
    [{"weight_zero": 1}, {"alpha": 2.0}, {"transA": 1}],
    ids=["weights with a zero point", "alpha", "transposed activation"],
)
def test_what_integers_cannot_say_stays_a_pair(change: dict[str, Any], tmp_path: Path) -> None:
    x = (7, 2) if "transA" in change else (2, 7)
    proto = load(quantized(tmp_path, "Gemm", x, (5, 7), transB=1, **change).path)
    before = proto.SerializeToString()
    assert in_integers(proto) == ()
    assert proto.SerializeToString() == before


def test_weights_are_int8_arrays_and_never_unpacked(tmp_path: Path, build: Callable[..., Engine]) -> None:
    model = fixed(tiny_int8_cnn)(tmp_path)
    source = build(model, HOST).path.read_text()
    kinds = re.findall(r"^static const EMX_UNUSED (\w+) \w+(?:\[\d+\]){2,4} = ", source, re.MULTILINE)
    assert sorted(kinds) == ["float"] * 2 + ["int8_t"] * 3  # the floats: scale and bias of the layer before the pooling
    kept = build(model, COptions(board="host", integers=False))
    unpacked = re.findall(r"float \(\*const tmp\d_(\w+)_dq\)", kept.path.read_text())
    assert {"stem", "body", "head"} <= set(unpacked)


def test_whole_network_agrees_to_the_last_digits(tmp_path: Path, build: Callable[..., Engine]) -> None:
    model = fixed(tiny_int8_cnn)(tmp_path)
    feeds = feeds_for(model.signature, seed=5)
    with PlainC(HOST).open(build(model, HOST), CONTEXT) as runner:
        found, wanted = runner.infer(feeds)["y"], reference(model, feeds)["y"]
    assert np.abs(found - wanted).max() <= 1e-5


def _with_shapes(model: Model) -> Model:
    """The output's shape, as inference finds it."""
    proto = load(model.path)
    del proto.graph.output[0].type.tensor_type.shape.dim[:]
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True)
    model.path.write_bytes(inferred.SerializeToString())
    return read_model(model.path, {})


ENDINGS: dict[str, tuple[tuple[str, ...], Any]] = {
    "quantized": ((), np.int8(0)),
    "relu": (("Relu",), np.int8(0)),
    "relu, zero at the end": (("Relu",), np.int8(-128)),
    "relu, uint8": (("Relu",), np.uint8(7)),
    "pool": (("MaxPool",), np.int8(5)),
    "relu and pool": (("Relu", "MaxPool"), np.int8(-20)),
}


def ended(folder: Path, steps: tuple[str, ...], zero_point: Any, *, scale: float = 0.2, second: bool = False) -> Model:
    """A quantized convolution whose result is quantized again, after some steps; perhaps somebody reads it before."""
    proto = load(quantized(folder, "Conv", (1, 3, 8, 8), (4, 3, 3, 3), pads=[1, 1, 1, 1]).path)
    nodes, name = proto.graph.node, "y"
    for step in steps:
        attributes = {"kernel_shape": [2, 2], "strides": [2, 2]} if step == "MaxPool" else {}
        nodes.append(helper.make_node(step, [name], [f"{name}_{step}"], **attributes))
        name = f"{name}_{step}"
    nodes.append(helper.make_node("QuantizeLinear", [name, "ends", "endz"], ["q"]))
    nodes.append(helper.make_node("DequantizeLinear", ["q", "ends", "endz"], ["d"]))
    for key, array in (("ends", np.float32(scale)), ("endz", np.asarray(zero_point))):
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), key))
    if not second:
        del proto.graph.output[:]
    proto.graph.output.append(helper.make_tensor_value_info("d", 1, None))
    path = folder / "ended.onnx"
    for output in proto.graph.output:
        output.type.tensor_type.ClearField("shape")
    path.write_bytes(onnx.shape_inference.infer_shapes(proto, strict_mode=True).SerializeToString())
    return read_model(path, {})


@pytest.mark.parametrize("form", ENDINGS.values(), ids=ENDINGS.keys())
def test_quantized_results_are_integers_at_once(
    form: tuple[tuple[str, ...], Any], tmp_path: Path, build: Callable[..., Engine]
) -> None:
    model = ended(tmp_path, *form)
    engine = build(model, HOST)
    assert [lowering.name for lowering in engine.lowerings][:1] == ["integer-results"]
    buffers = re.findall(r"^    (\w+) \(\*const", engine.path.read_text(), re.MULTILINE)
    assert set(buffers) <= {"int8_t", "uint8_t"}
    feeds = {"x": random(1, 3, 8, 8, seed=3)}
    with PlainC(HOST).open(engine, CONTEXT) as runner:
        found, wanted = runner.infer(feeds)["d"], reference(model, feeds)["d"]
    off = np.abs(found - wanted) / 0.2
    assert off.max() < 1.01, "one step, where a bias was rounded to the other side"
    assert (off > 0.5).mean() < 0.02
    assert len(np.unique(wanted)) > 8


@pytest.mark.parametrize("change", [{"second": True}, {"scale": 0.004}], ids=["read in float too", "coarse sums"])
def test_results_stay_float_where_integers_would_not_do(change: dict[str, Any], tmp_path: Path) -> None:
    proto = load(ended(tmp_path, ("Relu",), np.int8(0), **change).path)
    assert [lowering.name for lowering in in_integers(proto)] == ["integer-products"]
