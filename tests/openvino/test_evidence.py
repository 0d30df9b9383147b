"""What was executed, read back from the compiled graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgetool.artifact import Engine, Model
from edgetool.backends.base import Evidence
from edgetool.context import BuildContext
from edgetool.testing import tiny_cnn, tiny_int8_cnn, tiny_text
from edgetool_openvino.backend import OpenVino
from edgetool_openvino.runtime import load_runtime

MakeOnnx = Callable[..., Model]
Build = Callable[..., Engine]


@pytest.fixture
def evidence(build: Build, context: BuildContext) -> Callable[..., Evidence]:
    def read(model: Model, **options: str) -> Evidence:
        return OpenVino(OpenVino.Options(**options)).evidence(build(model, **options), context)

    return read


def test_a_float_engine_computes_in_float32(tmp_path: Path, evidence: Callable[..., Evidence]) -> None:
    found = evidence(tiny_cnn(tmp_path))
    assert found.precision_counts().keys() == {"float32"}
    assert [row.op_type for row in found.nodes].count("Convolution") == 2
    assert {row.device for row in found.nodes} == {"CPU"}
    assert found.unfused == ()


def test_bfloat16_is_taken_only_when_asked_for(tmp_path: Path, evidence: Callable[..., Evidence]) -> None:
    if "BF16" not in load_runtime().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has no bfloat16")
    found = evidence(tiny_cnn(tmp_path), inference_precision="bf16")
    assert {row.precision for row in found.nodes if row.op_type == "Convolution"} == {"bfloat16"}


def test_a_quantized_engine_computes_in_int8(tmp_path: Path, evidence: Callable[..., Evidence]) -> None:
    found = evidence(tiny_int8_cnn(tmp_path))
    weighted = [row for row in found.nodes if row.op_type in ("Convolution", "FullyConnected")]
    assert [row.precision for row in weighted] == ["int8"] * 3
    assert found.unfused == ()


def test_truth_values_are_no_int8_kernels(make_onnx: MakeOnnx, evidence: Callable[..., Evidence]) -> None:
    nodes = [
        helper.make_node("Greater", ["x", "z"], ["b"], name="greater"),
        helper.make_node("Not", ["b"], ["y"], name="not"),
    ]
    inputs = [(name, TensorProto.FLOAT, ["n"]) for name in "xz"]
    found = evidence(make_onnx(nodes, inputs, [("y", TensorProto.BOOL, ["n"])]))
    assert "int8" not in found.precision_counts()


def test_quantized_nodes_that_run_in_float_are_named(make_onnx: MakeOnnx, evidence: Callable[..., Evidence]) -> None:
    """Activations of 16 bits: OpenVINO's processor plugin has no kernel for them and computes in float."""
    constants = [
        numpy_helper.from_array(np.array(0.001, np.float32), "scale"),
        numpy_helper.from_array(np.array(32768, np.uint16), "zero"),
        numpy_helper.from_array(np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32), "w"),
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], name="quantize"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"], name="dequantize"),
        helper.make_node("MatMul", ["d", "w"], ["m"], name="head"),
        helper.make_node("Relu", ["m"], ["y"], name="relu"),
    ]
    inputs, outputs = [("x", TensorProto.FLOAT, [2, 8])], [("y", TensorProto.FLOAT, [2, 4])]
    assert evidence(make_onnx(nodes, inputs, outputs, constants=constants)).unfused == ("head",)


def test_integers_are_reported_as_they_are_computed(make_onnx: MakeOnnx, evidence: Callable[..., Evidence]) -> None:
    node = helper.make_node("Add", ["x", "x"], ["y"], name="twice")
    shape = TensorProto.INT64, ["n"]
    found = evidence(make_onnx([node], [("x", *shape)], [("y", *shape)]))
    assert {row.precision for row in found.nodes if row.op_type == "Eltwise"} == {"int32"}


def test_evidence_is_the_same_each_time(tmp_path: Path, evidence: Callable[..., Evidence]) -> None:
    model = tiny_text(tmp_path)
    assert evidence(model) == evidence(model)
