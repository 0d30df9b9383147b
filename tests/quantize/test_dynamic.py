"""quantize-dynamic: integer products without calibration data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from edgetool.artifact import Model
from edgetool_onnxruntime.lowering import lower
from edgetool_openvino.runtime import load_runtime
from edgetool_passes.quantize_dynamic import QuantizeDynamic
from tests.quantize.conftest import ApplyPass, cosine, run, save_model, sentences


def test_products_become_integer_and_share_their_activation(apply_pass: ApplyPass, transformer_block: Model) -> None:
    applied = apply_pass(QuantizeDynamic, transformer_block)
    operators = [node.op_type for node in applied.proto.graph.node]
    assert operators.count("MatMulInteger") == 6
    assert operators.count("DynamicQuantizeLinear") == 4, "query, key and value read the same tensor"
    assert operators.count("MatMul") == 2, "the two products of activations"
    held_out = sentences(16, seed=9)
    assert cosine(run(transformer_block.path, held_out), run(applied.result.model.path, held_out)) > 0.98


def test_runtime_fuses_all_products(apply_pass: ApplyPass, transformer_block: Model, tmp_path: Path) -> None:
    import onnxruntime

    applied = apply_pass(QuantizeDynamic, transformer_block)
    lowered = tmp_path / "lowered.onnx"
    assert [done.name for done in lower(applied.result.model.path, lowered, uint8_activations=True)] == [
        "gather-then-dequantize"
    ]
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(lowered), options, providers=["CPUExecutionProvider"])
    fused = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert fused.count("DynamicQuantizeMatMul") + fused.count("MatMulIntegerToFloat") == 6
    assert "MatMulInteger" not in fused


@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm_with_bias(apply_pass: ApplyPass, tmp_path: Path, transposed: int) -> None:
    chance = np.random.default_rng(0)
    stored = {"w": chance.normal(size=(5, 8) if transposed else (8, 5)), "b": chance.normal(size=5)}
    stored = {name: values.astype(np.float32) for name, values in stored.items()}
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"], "gemm", transB=transposed)]
    model = save_model(tmp_path / "gemm.onnx", nodes, stored, {"x": ("batch", 8)}, {"y": ("batch", 5)})
    feeds = [{"x": chance.normal(size=(4, 8)).astype(np.float32)}]
    applied = apply_pass(QuantizeDynamic, model)
    assert cosine(run(model.path, feeds), run(applied.result.model.path, feeds)) > 0.999


def test_gemm_that_scales_is_left_alone(apply_pass: ApplyPass, tmp_path: Path) -> None:
    stored = {"w": np.ones((8, 5), np.float32), "v": np.ones((5, 5), np.float32)}
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["a"], "scaling", alpha=0.5),
        helper.make_node("Gemm", ["a", "v"], ["y"], "plain"),
    ]
    model = save_model(tmp_path / "gemm.onnx", nodes, stored, {"x": (1, 8)}, {"y": (1, 5)})
    assert apply_pass(QuantizeDynamic, model).result.facts["excluded"] == {"scaling": "its alpha or beta is not 1"}


def test_convolutional_networks_are_refused_with_the_reason(residual_cnn: Model) -> None:
    (problem,) = QuantizeDynamic(QuantizeDynamic.Options()).check(residual_cnn)
    assert problem.severity == "refuse"
    assert "convolutions" in problem.reason
    assert problem.nodes == ("stem", "wide", "deep", "thin")
    assert "quantize-static" in (problem.fix or "")


def test_openvino_takes_it(apply_pass: ApplyPass, transformer_block: Model) -> None:
    openvino = load_runtime()
    applied = apply_pass(QuantizeDynamic, transformer_block)
    # Where the processor has bfloat16, OpenVINO computes in it by default, and integer products come out wrong.
    pinned = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.compile_model(openvino.convert_model(applied.result.model.path), "CPU", pinned)
    feed = sentences(1, seed=4)[0]
    result = np.asarray(compiled(feed)[0])
    assert cosine(run(transformer_block.path, [feed]), result) > 0.95
