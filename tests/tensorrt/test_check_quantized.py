"""Q/DQ: what TensorRT refuses or reads otherwise than ONNX, and that the named pass cures it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import helper

from edgetool.artifact import Model
from edgetool.backends import Legalization
from edgetool.context import PassContext
from edgetool.testing import open_with_interpreter, tiny_int8_cnn
from edgetool_passes.repair_qdq import RepairQdq
from tests.tensorrt.checking import FLOAT, HALF, INT64, Array, judge, make, quantized, told

REPAIR = Legalization("repair-qdq")


def repaired(model: Model, folder: Path) -> Model:
    """What the pass makes of it that the verdict names."""
    folder.mkdir()
    context = PassContext(threads=1, open_reference=open_with_interpreter)
    return RepairQdq(RepairQdq.Options()).apply(model, folder, context).model


@pytest.mark.parametrize(
    ("zero", "reason"),
    [
        (np.array(0, np.uint8), "quantized to uint8"),
        (np.array(128, np.uint8), "quantized to uint8"),
        (None, "quantized to uint8"),
        (np.array(3, np.int8), "zero point is not zero"),
        (np.array(-128, np.int8), "zero point is not zero"),
    ],
    ids=["uint8", "uint8-middle", "implied", "int8-shifted", "int8-bottom"],
)
def test_asymmetric_activations_are_cured_by_repair(tmp_path: Path, zero: Array | None, reason: str) -> None:
    model = quantized(tmp_path / "m.onnx", zero=zero)
    support = judge(model)
    assert told(support, reason).nodes == ("quantize", "dequantize")
    assert support.legalize == REPAIR
    assert all(row.device is None for row in support.placements)
    after = judge(repaired(model, tmp_path / "out"))
    assert after.accepted and not after.off_accelerator


def biased(path: Path, *, stored: bool = True) -> Model:
    """A convolution whose bias is dequantized int32: stored, or an input."""
    constants: dict[str, Array] = {
        "xs": np.array(0.1, "f"), "xz": np.array(0, np.int8), "w": np.ones((4, 2, 1, 1), np.int8),
        "ws": np.full(4, 0.1, "f"), "wz": np.zeros(4, np.int8), "bs": np.full(4, 0.01, "f"),
    }  # fmt: skip
    inputs: dict[str, tuple[int, Any]] = {"x": (FLOAT, (1, 2, 4, 4))}
    if stored:
        constants["b"] = np.arange(4, dtype=np.int32)
    else:
        inputs["b"] = (onnx.TensorProto.INT32, (4,))
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"], "xq"),
        helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"], "xd"),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], "wd", axis=0),
        helper.make_node("DequantizeLinear", ["b", "bs"], ["bd"], "bias", axis=0),
        helper.make_node("Conv", ["xd", "wd", "bd"], ["y"], "conv"),
    ]
    return make(path, nodes, inputs, {"y": (FLOAT, (1, 4, 4, 4))}, constants)


def test_int32_biases(tmp_path: Path) -> None:
    support = judge(biased(tmp_path / "m.onnx"))
    assert told(support, "int32 is dequantized").nodes == ("bias",)
    assert support.legalize == REPAIR
    assert judge(repaired(biased(tmp_path / "m.onnx"), tmp_path / "out")).accepted
    fed = judge(biased(tmp_path / "fed.onnx", stored=False))
    assert "quantize-static" in str(told(fed, "int32 is dequantized").fix)
    assert fed.legalize is None


def test_a_single_number_in_int8(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["c", "s", "z"], ["half"], "number"),
        helper.make_node("Mul", ["x", "half"], ["y"], "scale"),
    ]
    stored = {"c": np.array(5, np.int8), "s": np.array(0.1, "f"), "z": np.array(0, np.int8)}
    model = make(tmp_path / "m.onnx", nodes, {"x": (FLOAT, (4,))}, {"y": (FLOAT, (4,))}, stored)
    support = judge(model)
    assert told(support, "a single number").nodes == ("number",)
    assert support.legalize == REPAIR
    assert judge(repaired(model, tmp_path / "out")).accepted


def test_stored_int8_goes_through_dequantize_linear(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gather", ["t", "x"], ["g"], "pick"),
        helper.make_node("DequantizeLinear", ["g", "s"], ["y"], "dequantize"),
    ]
    stored = {"t": np.ones((8, 4), np.int8), "s": np.array(0.1, "f")}
    model = make(tmp_path / "m.onnx", nodes, {"x": (INT64, (2,))}, {"y": (FLOAT, (2, 4))}, stored)
    assert told(judge(model), "stored int8").nodes == ("pick",)
    swapped = [
        helper.make_node("DequantizeLinear", ["t", "s"], ["d"], "dequantize"),
        helper.make_node("Gather", ["d", "x"], ["y"], "pick"),
    ]
    assert judge(make(tmp_path / "m.onnx", swapped, {"x": (INT64, (2,))}, {"y": (FLOAT, (2, 4))}, stored)).accepted


def test_two_cures_are_no_cure(tmp_path: Path) -> None:
    """One pass runs before the model is judged again; the user has to put both into the recipe."""
    support = judge(quantized(tmp_path / "m.onnx", zero=np.array(0, np.uint8), opset=21))
    assert {problem.fix for problem in support.problems} == {
        'put { use = "convert-opset", opset = 20 } into the recipe',
        'put { use = "repair-qdq" } into the recipe',
    }
    assert support.legalize is None


@pytest.mark.parametrize("zero", [np.array(0, np.uint16), np.array(0, np.int16), np.array(0, ml_dtypes.uint4)])
def test_types_that_nothing_cures(tmp_path: Path, zero: Array) -> None:
    support = judge(quantized(tmp_path / "m.onnx", zero=zero, opset=21), facts={"sm": 87, "max_opset": 21})
    assert told(support, "a type that TensorRT does not know").nodes == ("quantize", "dequantize")
    assert support.legalize is None


def test_a_quantized_output_cannot_be_repaired(tmp_path: Path) -> None:
    nodes = [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"], "quantize")]
    ends = {"x": (FLOAT, (4,))}, {"y": (onnx.TensorProto.UINT8, (4,))}
    stored = {"s": np.array(0.1, "f"), "z": np.array(0, np.uint8)}
    support = judge(make(tmp_path / "m.onnx", nodes, *ends, stored))
    assert support.legalize is None and not support.accepted


def test_float16_scales_need_opset_19(tmp_path: Path) -> None:
    half = {"zero": np.array(0, np.int8), "scale": np.array(0.1, np.float16), "dtype": HALF}
    support = judge(quantized(tmp_path / "m.onnx", **half))
    assert told(support, "float16 scales").nodes == ("quantize", "dequantize")
    assert support.legalize == Legalization("convert-opset", {"opset": 19})
    old = judge(quantized(tmp_path / "m.onnx", **half), version="8.6", facts={"sm": 80})
    assert "reads no newer one than 17" in told(old, "float16 scales").reason
    assert old.legalize is None
    assert judge(quantized(tmp_path / "m.onnx", **half, opset=19)).accepted


def test_one_scale_for_each_activation(tmp_path: Path) -> None:
    model = quantized(tmp_path / "m.onnx", zero=np.zeros(4, np.int8), scale=np.full(4, 0.1, "f"), axis=1)
    assert told(judge(model), "one scale for each activation").nodes == ("quantize",)
    on_rtx = judge(model, kind="rtx", version="1.7.1", facts={"sm": 86})
    assert on_rtx.accepted
    assert told(on_rtx, "in float").severity == "warn"


def test_scales_in_blocks_have_to_fit(tmp_path: Path) -> None:
    for shape, accepted in (((2, 64), True), ((2, 32), False), ((4, 64), False)):
        nodes = [
            helper.make_node("DequantizeLinear", ["w", "s"], ["d"], "weights", axis=0, block_size=128),
            helper.make_node("MatMul", ["x", "d"], ["y"], "product"),
        ]
        stored = {"w": np.ones((256, 64), ml_dtypes.int4), "s": np.full(shape, 0.1, "f")}
        ends = {"x": (FLOAT, (1, 256))}, {"y": (FLOAT, (1, 64))}
        support = judge(make(tmp_path / "m.onnx", nodes, *ends, stored, opset=21), version="10.9", facts={"sm": 89})
        assert support.accepted is accepted


def weighted(path: Path, op_type: str, axis: int, **attributes: int) -> Model:
    """A node with int8 weights of one scale a channel along `axis`."""
    shape = (8, 4, 1, 1) if "Conv" in op_type else (8, 8)
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s"], ["d"], "weights", axis=axis),
        helper.make_node(op_type, ["x", "d"], ["y"], "op", **attributes),
    ]
    x = {"Conv": (1, 4, 4, 4), "ConvTranspose": (1, 8, 4, 4)}.get(op_type, (1, 8))
    y = {"Conv": (1, 8, 4, 4), "ConvTranspose": (1, 4, 4, 4)}.get(op_type, (1, 8))
    stored = {"w": np.ones(shape, np.int8), "s": np.full(shape[axis], 0.1, "f")}
    return make(path, nodes, {"x": (FLOAT, x)}, {"y": (FLOAT, y)}, stored)


@pytest.mark.parametrize(
    ("op_type", "axis", "attributes", "fused"),
    [
        ("Conv", 0, {}, True),
        ("Conv", 1, {}, False),
        ("ConvTranspose", 1, {}, True),
        ("ConvTranspose", 0, {}, False),
        ("MatMul", 1, {}, True),
        ("MatMul", 0, {}, False),
        ("Gemm", 1, {}, True),
        ("Gemm", 0, {"transB": 1}, True),
        ("Gemm", 1, {"transB": 1}, False),
    ],
)
def test_the_axis_of_weights(tmp_path: Path, op_type: str, axis: int, attributes: dict[str, int], fused: bool) -> None:
    support = judge(weighted(tmp_path / "m.onnx", op_type, axis, **attributes))
    assert support.accepted
    assert (not support.problems) is fused
    if not fused:
        assert told(support, "another axis").nodes == ("op",)


def test_computed_weights_and_results_for_nobody(tmp_path: Path) -> None:
    grid = ["s", "z"]
    nodes = [
        helper.make_node("QuantizeLinear", ["v", *grid], ["vq"], "vq"),
        helper.make_node("DequantizeLinear", ["vq", *grid], ["vd"], "vd"),
        helper.make_node("Conv", ["x", "vd"], ["c"], "conv"),
        helper.make_node("QuantizeLinear", ["c", *grid], ["cq"], "cq"),
        helper.make_node("DequantizeLinear", ["cq", *grid], ["cd"], "cd"),
        helper.make_node("Relu", ["cd"], ["y"], "relu"),
    ]
    ends = {"x": (FLOAT, (1, 4, 4, 4)), "v": (FLOAT, (8, 4, 1, 1))}, {"y": (FLOAT, (1, 8, 4, 4))}
    stored = {"s": np.array(0.1, "f"), "z": np.array(0, np.int8)}
    support = judge(make(tmp_path / "m.onnx", nodes, *ends, stored))
    assert support.accepted
    assert told(support, "weights are computed").nodes == ("conv",)
    assert told(support, "results are quantized that no quantized node reads").nodes == ("conv",)


def test_our_own_form_is_taken_by_all(tmp_path: Path) -> None:
    model = tiny_int8_cnn(tmp_path)
    assert judge(model).problems == ()
    (only,) = judge(model, kind="rtx", version="1.7.1", facts={"sm": 86}).problems
    assert only.severity == "warn"
    assert "larger engine" in only.reason
