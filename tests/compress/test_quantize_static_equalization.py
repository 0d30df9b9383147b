"""quantize-static with equalization: which tensors are scaled, that the network stays the same, and what it gains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgetool.graph import load
from edgetool_passes.quantization.equalization import Equalized, choose_factors, equalize
from edgetool_passes.quantization.histogram import ChannelPeaks
from edgetool_passes.quantization.streams import Stream, streams
from edgetool_passes.quantize_static import QuantizeStatic
from tests.compress.quantize_networks import CHANNELS, WIDE, images, mobile_block, written
from tests.quantize.conftest import apply_pass, run  # noqa: F401 (a fixture)

Array = np.ndarray[Any, Any]


def _found(folder: Path, **options: Any) -> dict[tuple[str, ...], Stream]:
    return {stream.tensors: stream for stream in streams(load(mobile_block(folder, **options).path))}


def test_streams_end_at_convolutions_and_pass_what_minds_no_scale(tmp_path: Path) -> None:
    found = _found(tmp_path)
    assert set(found) == {
        ("stem", "stem_out", "thin", "sum", "mean", "flat"), ("wide", "wide_out"), ("deep", "deep_out"),
    }  # fmt: skip
    residual = found["stem", "stem_out", "thin", "sum", "mean", "flat"]
    assert [node.name for node in residual.writers] == ["stem", "thin"]
    assert [node.name for node in residual.readers] == ["wide", "head"]
    assert (residual.channels, residual.cap) == (CHANNELS, 6.0)


def test_a_relu_has_no_cap(tmp_path: Path) -> None:
    assert {stream.cap for stream in _found(tmp_path, cap=None).values()} == {float("inf")}


@pytest.mark.parametrize("op_type", ["Sigmoid", "HardSwish", "Softmax", "Exp"])
def test_what_minds_a_scale_ends_the_stream(tmp_path: Path, op_type: str) -> None:
    stored = {"a": np.ones((4, 3, 1, 1), np.float32), "b": np.ones((2, 4, 1, 1), np.float32)}
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["c"], "first"),
        helper.make_node(op_type, ["c"], ["d"], "between"),
        helper.make_node("Conv", ["d", "b"], ["y"], "second"),
    ]
    model = written(tmp_path / "m.onnx", nodes, stored, {"x": [1, 3, 4, 4]}, {"y": [1, 2, 4, 4]})
    assert streams(load(model.path)) == ()


@pytest.mark.parametrize("shared", ["a", "b"])
def test_shared_weights_outputs_and_broadcasts_are_left_alone(tmp_path: Path, shared: str) -> None:
    stored = {"a": np.ones((3, 3, 1, 1), np.float32), "b": np.ones((3, 3, 1, 1), np.float32)}
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["c"], "first"),
        helper.make_node("Conv", ["c", shared], ["y"], "second"),
        helper.make_node("Conv", ["x", "b"], ["z"], "third"),
    ]
    model = written(tmp_path / "m.onnx", nodes, stored, {"x": [1, 3, 4, 4]}, {"y": [1, 3, 4, 4], "z": [1, 3, 4, 4]})
    assert streams(load(model.path)) == (), "the weight would have to be two weights"


@pytest.mark.parametrize("groups", [1, 2, 12])
@pytest.mark.parametrize("transposed", [0, 1])
def test_scaling_by_any_factors_leaves_the_network_what_it_was(tmp_path: Path, groups: int, transposed: int) -> None:
    """Groups, depthwise with a multiplier, and Gemm in both orders, against the network before."""
    chance = np.random.default_rng(0)
    stored = {
        "a": chance.normal(size=(12, 3, 3, 3)),
        "a_b": chance.normal(size=12),
        "b": chance.normal(size=(24, 12 // groups, 3, 3)),
        "b_b": chance.normal(size=24),
        "c": chance.normal(size=(5, 24) if transposed else (24, 5)),
        "c_b": chance.normal(size=(1, 5)),
    }
    nodes = [
        helper.make_node("Conv", ["x", "a", "a_b"], ["p"], "first"),
        helper.make_node("Relu", ["p"], ["q"], "relu"),
        helper.make_node("Conv", ["q", "b", "b_b"], ["r"], "second", group=groups),
        helper.make_node("LeakyRelu", ["r"], ["s"], "leaky", alpha=0.1),
        helper.make_node("GlobalAveragePool", ["s"], ["t"], "pool"),
        helper.make_node("Flatten", ["t"], ["u"], "flat"),
        helper.make_node("Gemm", ["u", "c", "c_b"], ["y"], "head", transB=transposed),
    ]
    stored = {name: array.astype(np.float32) for name, array in stored.items()}
    model = written(tmp_path / "m.onnx", nodes, stored, {"x": [2, 3, 8, 8]}, {"y": [2, 5]})
    proto = load(model.path)
    found = streams(proto)
    assert [stream.channels for stream in found] == [12, 24]
    renamed = equalize(
        proto.graph,
        [Equalized(one, chance.uniform(0.1, 1, one.channels).astype(np.float32)) for one in found],
    )
    onnx.checker.check_model(proto, full_check=True)
    scaled = tmp_path / "scaled.onnx"
    onnx.save(proto, scaled)
    feeds = [{"x": chance.normal(size=(2, 3, 8, 8)).astype(np.float32)}]
    np.testing.assert_allclose(run(scaled, feeds), run(model.path, feeds), rtol=1e-4, atol=1e-4)
    assert set(renamed) == {"p", "q", "r", "s", "t", "u"}
    names = {name for node in proto.graph.node for name in (*node.input, *node.output)}
    assert names.isdisjoint(renamed), "a tensor that means something else must not bear the name"


def test_factors_are_the_formula(tmp_path: Path) -> None:
    """Computed here without any of the pass's helpers, for the stream that a depthwise and a dense layer border."""
    proto = load(mobile_block(tmp_path, cap=None).path)
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    by_first = {stream.tensors[0]: stream for stream in streams(proto)}
    peaks = ChannelPeaks()
    ranges = np.geomspace(0.5, 2, WIDE).astype(np.float32)
    peaks.see(ranges.reshape(1, WIDE, 1, 1))
    wide = choose_factors(proto.graph, by_first["wide"], [peaks], strength=0.5).factor
    np.testing.assert_allclose(wide, ranges / ranges.max(), rtol=1e-5, err_msg="only a depthwise layer reads it")
    deep = choose_factors(proto.graph, by_first["deep"], [peaks], strength=0.5).factor
    thin = np.abs(values["thin_w"][:, :, 0, 0])
    columns = (thin / thin.max(axis=1, keepdims=True)).max(axis=0)
    expected = np.sqrt(ranges / ranges.max()) / np.sqrt(columns)
    np.testing.assert_allclose(deep, expected / expected.max(), rtol=1e-5)


def test_a_clip_never_cuts_what_a_channel_may_reach(tmp_path: Path) -> None:
    proto = load(mobile_block(tmp_path, cap=6.0).path)
    stream = next(one for one in streams(proto) if one.tensors[0] == "wide")
    steady, restless, silent = 0, 1, 2
    values = np.full((2, WIDE, 1, 1), 3, np.float32)
    values[:, steady] = 1
    values[:, restless, 0, 0] = (0.1, 2)
    values[:, silent] = 0
    peaks = ChannelPeaks()
    peaks.see(values)
    factor = choose_factors(proto.graph, stream, [peaks], strength=1).factor
    assert factor[steady] == pytest.approx(1 / 3), "its range is certain: 1 of 3, and the Clip cuts at 2"
    assert factor[restless] == 1, "it may grow: its peaks differ twentyfold"
    assert factor[silent] == 1, "nobody knows what it does on other data"


@pytest.mark.parametrize("cap", [6.0, None])
def test_uneven_channels_are_saved(tmp_path: Path, apply_pass: Any, cap: float | None) -> None:  # noqa: F811
    model = mobile_block(tmp_path, cap=cap)
    held_out = images(32, seed=9)
    expected = run(model.path, held_out)
    errors = {}
    for strength in (0.0, 0.5):
        applied = apply_pass(QuantizeStatic, model, images(32), equalization=strength)
        errors[strength] = float(((run(applied.result.model.path, held_out) - expected) ** 2).mean())
        assert applied.result.facts["equalized"] == (3 if strength else 0)
    assert errors[0.5] < 0.5 * errors[0.0]


def test_names_of_scaled_tensors_change_in_the_quantized_network(tmp_path: Path, apply_pass: Any) -> None:  # noqa: F811
    model = mobile_block(tmp_path)
    before = {name for node in onnx.load(model.path).graph.node for name in node.output}
    after = apply_pass(QuantizeStatic, model, images(4), equalization=0.5).proto
    shared = before & {name for node in after.graph.node for name in node.output}
    assert shared == {"logits"}


def test_nothing_to_equalize_is_said(tmp_path: Path, apply_pass: Any) -> None:  # noqa: F811
    nodes = [helper.make_node("Gemm", ["x", "w"], ["y"], "only")]
    stored = {"w": np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)}
    model = written(tmp_path / "m.onnx", nodes, stored, {"x": [2, 4]}, {"y": [2, 4]})
    feeds = [{"x": np.random.default_rng(seed).normal(size=(2, 4)).astype(np.float32)} for seed in range(4)]
    assert apply_pass(QuantizeStatic, model, feeds, equalization=0.5).result.facts["equalized"] == 0


@pytest.mark.parametrize(("depthwise", "strength", "equalized"), [(True, 0.5, 3), (False, 0.0, 0)])
def test_left_to_the_network_it_is_on_where_a_convolution_is_depthwise(
    tmp_path: Path,
    apply_pass: Any,  # noqa: F811
    depthwise: bool,
    strength: float,
    equalized: int,
) -> None:
    model = mobile_block(tmp_path)
    if not depthwise:
        proto = onnx.load(model.path)
        deep = next(node for node in proto.graph.node if node.name == "deep")
        deep.attribute.remove(next(entry for entry in deep.attribute if entry.name == "group"))
        weight = next(tensor for tensor in proto.graph.initializer if tensor.name == "deep_w")
        dense = np.random.default_rng(0).normal(size=(WIDE, WIDE, 3, 3)).astype(np.float32)
        weight.CopyFrom(numpy_helper.from_array(dense, "deep_w"))
        onnx.save(proto, model.path)
    left, told = (apply_pass(QuantizeStatic, model, images(4), **how) for how in ({}, {"equalization": strength}))
    facts = left.result.facts
    assert (facts["equalization"], facts["equalized"]) == (strength, equalized)
    assert left.proto.SerializeToString() == told.proto.SerializeToString()
