"""quantize-static: the Q/DQ that it writes, its accuracy, and what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from edgetool.artifact import Model
from edgetool.graph import read_model
from edgetool.qdq.ranges import read_ranges
from edgetool_passes.quantize_static import QuantizeStatic
from tests.quantize.conftest import (
    ApplyPass,
    by_name,
    constant,
    cosine,
    make_residual_cnn,
    pictures,
    producer,
    run,
    save_model,
    sentences,
)


def test_every_quantizer_is_symmetric_int8(apply_pass: ApplyPass, residual_cnn: Model) -> None:
    """TensorRT takes no other zero point than 0 and no other integers than int8."""
    proto = apply_pass(QuantizeStatic, residual_cnn, pictures(8)).proto
    pairs = [node for node in proto.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert len([node for node in pairs if node.op_type == "QuantizeLinear"]) == 5
    for node in pairs:
        zero_point = constant(proto, node.input[2])
        assert zero_point.dtype == np.int8
        assert not zero_point.any()


def test_weights_are_int8_per_channel_and_biases_float(apply_pass: ApplyPass, residual_cnn: Model) -> None:
    proto = apply_pass(QuantizeStatic, residual_cnn, pictures(8)).proto
    for name, channels in {"stem": 16, "wide": 32, "deep": 32, "thin": 16, "head": 10}.items():
        node = by_name(proto)[name]
        dequantize = producer(proto, node.input[1])
        assert dequantize is not None
        assert dequantize.op_type == "DequantizeLinear"
        weight = constant(proto, dequantize.input[0])
        assert weight.dtype == np.int8
        assert weight.min() >= -127
        assert constant(proto, dequantize.input[1]).shape == (channels,)
        assert constant(proto, node.input[2]).dtype == np.float32, "a quantized bias is refused by TensorRT"


def test_pairs_are_on_inputs_only_and_shared(apply_pass: ApplyPass, residual_cnn: Model) -> None:
    proto = apply_pass(QuantizeStatic, residual_cnn, pictures(8), equalization=0).proto
    quantized = [node.input[0] for node in proto.graph.node if node.op_type == "QuantizeLinear"]
    assert sorted(quantized) == sorted(["image", "pooled", "wide_out", "deep_out", "flat"])
    nodes = by_name(proto)
    assert nodes["wide"].input[0] == nodes["add"].input[0], "the block's input has one pair for both of its readers"
    assert nodes["add"].input[1] == "thin"
    assert nodes["average_pool"].input[0] == "sum"


def test_ranges_for_backends_are_recorded(apply_pass: ApplyPass, residual_cnn: Model) -> None:
    ranges = read_ranges(apply_pass(QuantizeStatic, residual_cnn, pictures(8), equalization=0).proto)
    assert set(ranges) == {"stem_out", "pooled", "wide_out", "deep_out", "thin", "sum", "mean", "flat"}
    assert ranges["wide_out"].low == 0
    assert 0 < ranges["wide_out"].high <= 6
    assert ranges["thin"].low < 0 < ranges["thin"].high


def test_no_ranges_are_recorded_for_products(apply_pass: ApplyPass, transformer_block: Model) -> None:
    assert read_ranges(apply_pass(QuantizeStatic, transformer_block, sentences(8)).proto) == {}


@pytest.mark.parametrize("calibrator", ["auto", "min-max", "entropy", "percentile", "mse"])
def test_cnn_stays_accurate(apply_pass: ApplyPass, residual_cnn: Model, calibrator: str) -> None:
    result = apply_pass(QuantizeStatic, residual_cnn, pictures(16), calibrator=calibrator).result
    held_out = pictures(8, seed=9)
    assert cosine(run(residual_cnn.path, held_out), run(result.model.path, held_out)) > 0.99


def test_bias_correction_takes_the_mean_error_away(apply_pass: ApplyPass, residual_cnn: Model) -> None:
    held_out = pictures(32, seed=9)
    expected = run(residual_cnn.path, held_out)
    shifts = {}
    for corrected in (False, True):
        applied = apply_pass(
            QuantizeStatic, residual_cnn, pictures(32), bias_correction=corrected, weight_bits=7, calibrator="min-max"
        )
        shifts[corrected] = float(np.abs((run(applied.result.model.path, held_out) - expected).mean(axis=0)).mean())
        assert applied.result.facts["biases_corrected"] == (5 if corrected else 0)
    assert shifts[True] < 0.7 * shifts[False]


def test_smoothing_saves_a_transformer_with_an_outlier_channel(apply_pass: ApplyPass, transformer_block: Model) -> None:
    held_out = sentences(16, seed=9)
    expected = run(transformer_block.path, held_out)
    cosines = {}
    for smoothing in (0.0, 0.95):
        applied = apply_pass(QuantizeStatic, transformer_block, sentences(16), smoothing=smoothing)
        cosines[smoothing] = cosine(expected, run(applied.result.model.path, held_out))
    assert applied.result.facts["smoothed"] == 4
    assert cosines[0.95] > 0.995
    assert 1 - cosines[0.95] < (1 - cosines[0.0]) / 4


def test_one_run_tells_the_extents_of_smoothed_tensors(apply_pass: ApplyPass, transformer_block: Model) -> None:
    """What the pass derives from channels is what a second run over the divided tensors would have seen."""
    samples = sentences(8)
    applied = apply_pass(QuantizeStatic, transformer_block, samples, attention_scores=True, attention_values=True)
    assert applied.runs == 1
    float_model, proto = onnx.load(transformer_block.path), applied.proto
    smoothing = [tensor.name for tensor in proto.graph.initializer if tensor.name.endswith("_smoothing")]
    assert len(smoothing) == 4
    for name in smoothing:
        tensor = name.removesuffix("_smoothing")
        del float_model.graph.output[:]
        float_model.graph.output.add().name = tensor
        onnx.save(float_model, transformer_block.path)
        divided = run(transformer_block.path, samples) * constant(proto, name)
        pair = next(node for node in proto.graph.node if node.input[0] == f"{tensor}_smoothed")
        assert constant(proto, pair.input[1]) == pytest.approx(np.abs(divided).max() / 127, rel=1e-6)


@pytest.mark.parametrize(
    ("network", "runs", "options"),
    [("transformer", 1, {"attention_scores": True}), ("cnn", 1, {}), ("cnn", 2, {"equalization": 0.5})],
)
def test_recipes_of_one_process_share_what_the_samples_told(
    apply_pass: ApplyPass,
    transformer_block: Model,
    residual_cnn: Model,
    network: str,
    runs: int,
    options: dict[str, float],
) -> None:
    model, samples = (transformer_block, sentences(6)) if network == "transformer" else (residual_cnn, pictures(6))
    options = {"equalization": 0.0, **options}
    kept: dict[str, object] = {}
    first = apply_pass(QuantizeStatic, model, samples, kept=kept, **options)
    for changed in ({}, {"attention_scores": False}, {"weight_bits": 7}):
        again = apply_pass(QuantizeStatic, model, samples, kept=kept, **{**options, **changed})
        alone = apply_pass(QuantizeStatic, model, samples, **{**options, **changed})
        assert (first.runs, again.runs, alone.runs) == (runs, 0, runs)
        assert again.proto.SerializeToString() == alone.proto.SerializeToString()
    other = apply_pass(QuantizeStatic, model, samples, kept=kept, **{**options, "calibrator": "entropy"})
    assert other.runs > 0 or network == "cnn", "an extent is no histogram"


def test_smoothing_alone_changes_no_result(apply_pass: ApplyPass, transformer_block: Model) -> None:
    """With weights of another node's excluded, the rewritten products are still the float ones."""
    applied = apply_pass(
        QuantizeStatic, transformer_block, sentences(8), exclude=("query", "key", "value", "out", "up", "down")
    )
    assert applied.result.facts["smoothed"] == 0
    assert applied.result.facts["quantized_by_type"] == {"Gather": 1}


def test_softmax_norm_and_mask_read_float(apply_pass: ApplyPass, transformer_block: Model) -> None:
    proto = apply_pass(QuantizeStatic, transformer_block, sentences(8)).proto
    dequantized = {node.output[0] for node in proto.graph.node if node.op_type == "DequantizeLinear"}
    weighted = {"query", "key", "value", "out", "up", "down", "embed"}
    readers = {node.name for node in proto.graph.node if dequantized.intersection(node.input)}
    assert readers == weighted


@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize("values", [False, True])
def test_attention_is_quantized_on_request(
    apply_pass: ApplyPass, transformer_block: Model, scores: bool, values: bool
) -> None:
    applied = apply_pass(
        QuantizeStatic, transformer_block, sentences(16), attention_scores=scores, attention_values=values
    )
    nodes = by_name(applied.proto)
    for name, quantized in {"scores": scores, "weigh": values}.items():
        producers = [producer(applied.proto, tensor) for tensor in nodes[name].input]
        assert all((node is not None and node.op_type == "DequantizeLinear") is quantized for node in producers)
    held_out = sentences(16, seed=9)
    assert cosine(run(transformer_block.path, held_out), run(applied.result.model.path, held_out)) > 0.995


def test_seven_bits_stay_within_seven_bits(apply_pass: ApplyPass, residual_cnn: Model) -> None:
    proto = apply_pass(QuantizeStatic, residual_cnn, pictures(4), weight_bits=7).proto
    integers = [tensor for tensor in proto.graph.initializer if tensor.name.endswith("_int8")]
    assert len(integers) == 5
    assert max(np.abs(constant(proto, tensor.name).astype(int)).max() for tensor in integers) == 63


def test_old_opset_is_raised_and_recorded(apply_pass: ApplyPass, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    model = make_residual_cnn(tmp_path / "old", opset=11)
    applied = apply_pass(QuantizeStatic, model, pictures(8))
    assert applied.proto.opset_import[0].version == 13
    assert applied.result.facts["opset"] == {"from": 11, "to": 13}
    held_out = pictures(4, seed=5)
    assert cosine(run(model.path, held_out), run(applied.result.model.path, held_out)) > 0.98


def test_weight_shared_by_two_nodes_is_stored_once(apply_pass: ApplyPass, tmp_path: Path) -> None:
    weight = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "first"),
        helper.make_node("Tanh", ["a"], ["b"], "tanh"),
        helper.make_node("MatMul", ["b", "w"], ["y"], "second"),
    ]
    model = save_model(tmp_path / "tied.onnx", nodes, {"w": weight}, {"x": (2, 8)}, {"y": (2, 8)})
    feeds = [{"x": np.random.default_rng(seed).normal(size=(2, 8)).astype(np.float32)} for seed in range(8)]
    applied = apply_pass(QuantizeStatic, model, feeds)
    assert applied.result.facts["smoothed"] == 0, "smoothing one reader would spoil the other"
    assert sum(tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) == 2
               for tensor in applied.proto.graph.initializer) == 1  # fmt: skip
    assert cosine(run(model.path, feeds), run(applied.result.model.path, feeds)) > 0.999


def test_facts(apply_pass: ApplyPass, residual_cnn: Model) -> None:
    facts = apply_pass(QuantizeStatic, residual_cnn, pictures(6), exclude=("head",)).result.facts
    assert facts["quantized"] == 4
    assert facts["quantized_by_type"] == {"Conv": 4}
    assert facts["residual_adds"] == 1
    assert facts["excluded"] == {"head": "excluded by the recipe"}
    assert facts["calibrator"] == "mse", "auto, for convolutions"
    assert facts["calibration_feeds"] == 6


def test_float_file_is_three_times_as_large(apply_pass: ApplyPass, residual_cnn: Model) -> None:
    big = onnx.load(residual_cnn.path)
    for tensor in big.graph.initializer:
        if tensor.name == "head_w":
            tensor.CopyFrom(
                onnx.numpy_helper.from_array(np.tile(onnx.numpy_helper.to_array(tensor), (2000, 1)), "head_w")
            )
        if tensor.name == "head_b":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.tile(onnx.numpy_helper.to_array(tensor), 2000), "head_b"))
    big.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 20000
    onnx.save(big, residual_cnn.path)
    model = read_model(residual_cnn.path, residual_cnn.signature.dims)
    result = apply_pass(QuantizeStatic, model, pictures(4)).result
    assert model.path.stat().st_size > 2.4 * result.model.path.stat().st_size
