"""Element types: what goes in and out, and what each release and each GPU computes in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgetool.artifact import Model
from edgetool.testing import tiny_int8_cnn
from edgetool_tensorrt.rtx.capability import OFFERED
from tests.tensorrt import typed_models as typed
from tests.tensorrt.checking import FLOAT, HALF, INT64, chain, judge, make, told

RTX: dict[str, Any] = {"kind": "rtx", "version": "1.7.1"}
MakeTyped = Callable[[Path, str], Model]

FROM_80, FROM_89, FROM_120 = (80, 86, 89, 120, 121), (89, 120, 121), (120, 121)
BUILDS: list[tuple[MakeTyped, str, tuple[int, ...]]] = [
    # What TensorRT-RTX builds, by compute capability; test_rtx_matrix.py asks TensorRT-RTX itself.
    (typed.convolution, "float32", OFFERED),
    (typed.convolution, "float16", OFFERED),
    (typed.product, "float32", FROM_80),
    (typed.product, "float16", OFFERED),
    (typed.product, "bfloat16", FROM_80),
    (typed.int8, "float32", FROM_80),
    (typed.int8, "float16", OFFERED),
    (typed.int8_weights, "float16", OFFERED),
    (typed.int4_blocks, "float16", FROM_80),
    (typed.float8, "float16", FROM_89),
    (typed.float4_blocks, "float16", FROM_120),
]


@pytest.mark.parametrize(("make_typed", "base", "built"), BUILDS, ids=lambda row: getattr(row, "__name__", str(row)))
def test_capabilities_of_tensorrt_rtx(tmp_path: Path, make_typed: MakeTyped, base: str, built: tuple[int, ...]) -> None:
    model = make_typed(tmp_path, base)
    accepted = tuple(sm for sm in OFFERED if judge(model, **RTX, facts={"sm": sm}).accepted)
    assert accepted == built


def test_an_engine_for_several_capabilities_serves_the_weakest(tmp_path: Path) -> None:
    model = typed.float8(tmp_path, "float16")
    support = judge(model, **RTX, facts={"sm": 89}, capabilities=[89, 86])
    assert "the engine is for 8.6" in told(support, "float8_e4m3fn").reason


@pytest.mark.parametrize("sm", [53, 72, 87, 90, 110])
def test_gpus_that_tensorrt_rtx_does_not_build_for(tmp_path: Path, sm: int) -> None:
    support = judge(chain(tmp_path / "m.onnx", "Relu"), **RTX, facts={"sm": sm})
    assert "kind = " in str(told(support, "does not build for").fix)


@pytest.mark.parametrize(
    ("make_typed", "sm", "version", "reason"),
    [
        (typed.float8, 87, "10.7", "needs compute capability 8.9, and the engine is for 8.7"),
        (typed.float8, 89, "8.6", "from TensorRT 9.0 on"),
        (typed.float4_blocks, 89, "10.8", "needs compute capability 10.0"),
        (typed.float4_blocks, 110, "10.7", "from TensorRT 10.8 on"),
        (typed.int4_blocks, 80, "9.3", "from TensorRT 10.0 on"),
    ],
)
def test_releases_and_gpus_of_tensorrt(
    tmp_path: Path, make_typed: MakeTyped, sm: int, version: str, reason: str
) -> None:
    facts = {"sm": sm, "max_opset": 25}
    problem = told(judge(make_typed(tmp_path, "float16"), version=version, facts=facts), reason)
    assert problem.nodes and "quantize-static" in str(problem.fix)


def test_thor_takes_float8_and_the_number_of_its_chip_does_not_matter(tmp_path: Path) -> None:
    for facts in ({"sm": 110}, {"sm": 101}, {"soc": "tegra264"}):
        assert judge(typed.float8(tmp_path, "float16"), version="10.16", facts=facts).accepted
    weak = judge(typed.float8(tmp_path, "float16"), version="10.16", facts={"soc": "nvidia,tegra234"})
    assert not weak.accepted


@pytest.mark.parametrize("kind", [TensorProto.DOUBLE, TensorProto.INT16, TensorProto.UINT32, TensorProto.STRING])
def test_inputs_that_the_engine_would_not_have(tmp_path: Path, kind: int) -> None:
    nodes = [helper.make_node("Identity", ["x"], ["y"], "hand-on")]
    model = make(tmp_path / "m.onnx", nodes, {"x": (kind, (4,))}, {"y": (kind, (4,))})
    support = judge(model)
    assert not support.accepted
    assert {"'x'" in problem.reason or "'y'" in problem.reason for problem in support.problems[:2]} == {True}


@pytest.mark.parametrize("kind", [FLOAT, HALF, INT64, TensorProto.BOOL, TensorProto.UINT8, TensorProto.INT32])
def test_inputs_that_it_has(tmp_path: Path, kind: int) -> None:
    nodes = [helper.make_node("Identity", ["x"], ["y"], "hand-on")]
    model = make(tmp_path / "m.onnx", nodes, {"x": (kind, (4,))}, {"y": (kind, (4,))})
    assert judge(model).accepted
    assert judge(model, **RTX, facts={"sm": 86}).accepted


def test_int64_changes_the_interface_before_tensorrt_9(tmp_path: Path) -> None:
    nodes = [helper.make_node("Cast", ["x"], ["y"], "cast", to=FLOAT)]
    model = make(tmp_path / "m.onnx", nodes, {"x": (INT64, (4,))}, {"y": (FLOAT, (4,))})
    old = judge(model, version="8.5.2", facts={"sm": 72})
    assert old.accepted
    assert "engine's is int32" in told(old, "'x' is int64").reason
    assert not [problem for problem in judge(model, version="10.3").problems if "int64" in problem.reason]


def test_uint8_goes_in_since_8_5_and_never_computes(tmp_path: Path) -> None:
    cast = [helper.make_node("Cast", ["x"], ["y"], "cast", to=FLOAT)]
    model = make(tmp_path / "cast.onnx", cast, {"x": (TensorProto.UINT8, (4,))}, {"y": (FLOAT, (4,))}, opset=13)
    assert "8.5" in told(judge(model, version="8.4", facts={"sm": 72}), "'x' is uint8").reason
    assert judge(model, version="8.5", facts={"sm": 72}).accepted
    add = [helper.make_node("Add", ["x", "x"], ["y"], "add")]
    ends = {"x": (TensorProto.UINT8, (4,))}, {"y": (TensorProto.UINT8, (4,))}
    assert told(judge(make(tmp_path / "add.onnx", add, *ends)), "does not compute in uint8").nodes == ("add",)


def test_float64_inside_is_told(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["d"], "widen", to=TensorProto.DOUBLE),
        helper.make_node("Exp", ["d"], ["e"], "exp"),
        helper.make_node("Cast", ["e"], ["y"], "narrow", to=FLOAT),
    ]
    support = judge(make(tmp_path / "m.onnx", nodes, {"x": (FLOAT, (4,))}, {"y": (FLOAT, (4,))}))
    assert support.accepted
    assert told(support, "float64").nodes == ("widen", "exp", "narrow")


def test_types_inside_that_do_not_exist(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["s"], "short", to=TensorProto.INT16),
        helper.make_node("Cast", ["s"], ["y"], "back", to=FLOAT),
    ]
    support = judge(make(tmp_path / "m.onnx", nodes, {"x": (FLOAT, (4,))}, {"y": (FLOAT, (4,))}))
    assert told(support, "does not compute in int16").nodes == ("short", "back")


def test_precisions_that_the_target_says_it_lacks(tmp_path: Path) -> None:
    half = chain(tmp_path / "half.onnx", "Relu", dtype=HALF)
    assert told(judge(half, facts={"sm": 61, "fp16": False}), "float16").nodes == ("relu",)
    assert judge(half, facts={"sm": 61, "fp16": True}).accepted
    quantized = tiny_int8_cnn(tmp_path)
    assert not judge(quantized, facts={"sm": 70, "int8": False}).accepted
    nano = judge(quantized, version="8.2.1", facts={"sm": 53, "int8": False, "max_opset": 18})
    told(nano, "int8 instructions")  # said once, by what is known of the chip
    assert not [problem for problem in nano.problems if "does not compute in int8" in problem.reason]


@pytest.mark.parametrize("op_type", ["LSTM", "Einsum", "Gemm"])
def test_other_products_on_turing(tmp_path: Path, op_type: str) -> None:
    attributes: dict[str, Any] = {"LSTM": {"hidden_size": 5}, "Einsum": {"equation": "abc,cd->abd"}}.get(op_type, {})
    stored = {"w": np.ones((1, 20, 4) if op_type == "LSTM" else (4, 5), "f")}
    if op_type == "LSTM":
        stored["r"] = np.ones((1, 20, 5), "f")
    shape = (3, 4) if op_type == "Gemm" else (3, 1, 4)
    result = {"LSTM": (3, 1, 1, 5), "Gemm": (3, 5)}.get(op_type, (3, 1, 5))
    nodes = [helper.make_node(op_type, ["x", *stored], ["y"], "product", **attributes)]
    model = make(tmp_path / "m.onnx", nodes, {"x": (FLOAT, shape)}, {"y": (FLOAT, result)}, stored)
    assert "cast-fp16" in str(told(judge(model, **RTX, facts={"sm": 75}), "no float32 matrices").fix)
    assert judge(model, **RTX, facts={"sm": 80}).accepted
