"""The rewrite for ONNX Runtime: everything fuses, nothing else changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from edgetool.artifact import Model
from edgetool.errors import ModelError
from edgetool.graph import digest
from edgetool.qdq.pairs import activation_pairs
from edgetool.qdq.ranges import RANGES_KEY
from edgetool_onnxruntime.lowering import lower, unfused_nodes
from edgetool_passes.quantize_static import QuantizeStatic
from tests.quantize.conftest import ApplyPass, by_name, constant, cosine, pictures, producer, run, save_model, sentences


@pytest.fixture
def int8_cnn(apply_pass: ApplyPass, residual_cnn: Model) -> Path:
    return apply_pass(QuantizeStatic, residual_cnn, pictures(16)).result.model.path


@pytest.fixture
def int8_transformer(apply_pass: ApplyPass, transformer_block: Model) -> Path:
    return apply_pass(QuantizeStatic, transformer_block, sentences(16)).result.model.path


def test_convolutions_do_not_fuse_without_it(int8_cnn: Path) -> None:
    assert set(unfused_nodes(int8_cnn)) >= {"stem", "wide", "deep", "thin"}


def test_all_fuse_with_it(int8_cnn: Path, tmp_path: Path) -> None:
    lowered = tmp_path / "lowered.onnx"
    done = lower(int8_cnn, lowered, uint8_activations=True)
    assert [step.name for step in done] == ["full-range", "output-qdq", "int8-to-uint8", "int32-bias"]
    assert all(step.count > 0 for step in done)
    assert unfused_nodes(lowered) == ()
    onnx.checker.check_model(onnx.load(lowered), full_check=True)
    assert _kernels(lowered, tmp_path).isdisjoint({"Conv", "FusedConv", "Gemm", "Add", "Clip", "Relu"})


def _kernels(path: Path, scratch: Path) -> set[str]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(scratch / "optimized.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return {node.op_type for node in onnx.load(scratch / "optimized.onnx").graph.node}


@pytest.mark.parametrize("uint8", [True, False])
def test_it_is_harmless(int8_cnn: Path, residual_cnn: Model, tmp_path: Path, uint8: bool) -> None:
    lowered = tmp_path / "lowered.onnx"
    lower(int8_cnn, lowered, uint8_activations=uint8)
    held_out = pictures(16, seed=9)
    assert cosine(run(int8_cnn, held_out), run(lowered, held_out)) > 0.99
    assert cosine(run(residual_cnn.path, held_out), run(lowered, held_out)) > 0.985


def test_arm_keeps_signed_integers(int8_cnn: Path, tmp_path: Path) -> None:
    lowered = tmp_path / "lowered.onnx"
    names = [step.name for step in lower(int8_cnn, lowered, uint8_activations=False)]
    assert "int8-to-uint8" not in names
    proto = onnx.load(lowered)
    assert {pair.zero_point.dtype.name for pair in activation_pairs(proto.graph)} == {"int8"}


def test_source_is_untouched_and_twice_is_once(int8_cnn: Path, tmp_path: Path) -> None:
    before = digest(int8_cnn)
    lower(int8_cnn, tmp_path / "once.onnx", uint8_activations=True)
    lower(int8_cnn, tmp_path / "again.onnx", uint8_activations=True)
    assert digest(int8_cnn) == before
    assert digest(tmp_path / "once.onnx") == digest(tmp_path / "again.onnx"), "the same bytes every time"
    assert lower(tmp_path / "once.onnx", tmp_path / "twice.onnx", uint8_activations=True) == ()
    assert not (tmp_path / "twice.onnx").exists()


def test_float_model_is_left_alone(residual_cnn: Model, tmp_path: Path) -> None:
    assert lower(residual_cnn.path, tmp_path / "lowered.onnx", uint8_activations=True) == ()
    assert not (tmp_path / "lowered.onnx").exists()
    assert unfused_nodes(residual_cnn.path) == ()


def test_shift_stands_for_the_same_numbers(int8_transformer: Path, tmp_path: Path) -> None:
    lowered = tmp_path / "lowered.onnx"
    lower(int8_transformer, lowered, uint8_activations=True)
    typed = {pair.tensor: pair for pair in activation_pairs(onnx.load(int8_transformer).graph)}
    shifted = {pair.tensor: pair for pair in activation_pairs(onnx.load(lowered).graph)}
    assert set(typed) == set(shifted)
    for tensor, pair in shifted.items():
        assert (pair.scale, int(pair.zero_point)) == (typed[tensor].scale, 128)
    held_out = sentences(8, seed=9)
    assert cosine(run(int8_transformer, held_out), run(lowered, held_out)) > 0.9999


def test_transformer_gets_no_output_pairs(int8_transformer: Path, tmp_path: Path) -> None:
    lowered = tmp_path / "lowered.onnx"
    names = [step.name for step in lower(int8_transformer, lowered, uint8_activations=True)]
    assert names == ["int8-to-uint8", "gather-then-dequantize"]
    assert unfused_nodes(lowered) == ()


def test_embedding_table_is_no_longer_dequantized_whole(int8_transformer: Path, tmp_path: Path) -> None:
    lowered = tmp_path / "lowered.onnx"
    lower(int8_transformer, lowered, uint8_activations=True)
    proto = onnx.load(lowered)
    table = by_name(proto)["embed"].input[0]
    assert constant(proto, table).dtype == np.int8
    assert not [node for node in proto.graph.node if node.op_type == "DequantizeLinear" and table in node.input]


def test_bias_is_counted_in_steps_of_both_scales(int8_cnn: Path, tmp_path: Path) -> None:
    lowered = tmp_path / "lowered.onnx"
    lower(int8_cnn, lowered, uint8_activations=True)
    proto = onnx.load(lowered)
    head = by_name(proto)["head"]
    dequantize = producer(proto, head.input[2])
    assert dequantize is not None
    integers, steps = constant(proto, dequantize.input[0]), constant(proto, dequantize.input[1])
    assert integers.dtype == np.int32
    typed = onnx.load(int8_cnn)
    bias = constant(typed, by_name(typed)["head"].input[2])
    assert np.abs(integers * steps - bias).max() <= steps.max()


def test_product_and_add_fuse_although_the_runtime_makes_a_gemm_of_them(apply_pass: ApplyPass, tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    stored = {"w": chance.normal(size=(16, 8)).astype(np.float32), "b": chance.normal(size=(1, 8)).astype(np.float32)}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["product"], "product"),
        helper.make_node("Add", ["product", "b"], ["y"], "bias"),
    ]
    model = save_model(tmp_path / "m.onnx", nodes, stored, {"x": ("batch", 16)}, {"y": ("batch", 8)})
    feeds = [{"x": chance.normal(size=(4, 16)).astype(np.float32)} for _ in range(4)]
    typed = apply_pass(QuantizeStatic, model, feeds).result.model.path
    assert "int32-bias" in [step.name for step in lower(typed, tmp_path / "low.onnx", uint8_activations=True)]
    assert unfused_nodes(tmp_path / "low.onnx") == ()
    assert "QGemm" in _kernels(tmp_path / "low.onnx", tmp_path)
    assert cosine(run(model.path, feeds), run(tmp_path / "low.onnx", feeds)) > 0.999


def test_without_recorded_ranges_nothing_is_guessed(int8_cnn: Path, tmp_path: Path) -> None:
    proto = onnx.load(int8_cnn)
    del proto.metadata_props[:]
    onnx.save(proto, tmp_path / "bare.onnx")
    names = [step.name for step in lower(tmp_path / "bare.onnx", tmp_path / "low.onnx", uint8_activations=True)]
    assert "output-qdq" not in names or "thin" in unfused_nodes(tmp_path / "low.onnx")


def test_damaged_ranges_are_refused(int8_cnn: Path, tmp_path: Path) -> None:
    proto = onnx.load(int8_cnn)
    for entry in proto.metadata_props:
        if entry.key == RANGES_KEY:
            entry.value = entry.value[:-5]
    onnx.save(proto, tmp_path / "damaged.onnx")
    with pytest.raises(ModelError) as caught:
        lower(tmp_path / "damaged.onnx", tmp_path / "low.onnx", uint8_activations=True)
    assert caught.value.code == "damaged-ranges"
    assert not (tmp_path / "low.onnx").exists()
