"""Which blocks are found, which go, and what is left computes what it should."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pydantic
import pytest
from onnx import helper, numpy_helper

from edgetool.artifact import Model
from edgetool.errors import ConfigError
from edgetool.graph import read_model
from edgetool.runner import Runner
from edgetool.signature import DimRange
from edgetool.testing import MakeModel, PassConformance, tiny_cnn, tiny_int8_cnn, tiny_lstm, tiny_mlp
from edgetool_onnxruntime.reference import open_onnx
from edgetool_passes.blocks.stacks import find_blocks
from edgetool_passes.drop_layers import DropLayers, DropLayersOptions
from edgetool_passes.regression import Regression
from tests.compress.residual_networks import (
    WIDTH,
    Network,
    apply,
    make_encoder,
    make_residual_cnn,
    pictures,
    relative_error,
    run,
    sentences,
    stored,
)


def encoder(folder: Path) -> Model:
    return make_encoder(folder)


def pre_norm_encoder(folder: Path) -> Model:
    return make_encoder(folder, pre_norm=True)


class TestConformance(PassConformance):
    pass_class = DropLayers
    options: ClassVar[dict[str, Any]] = {"count": 1}
    models: ClassVar[tuple[MakeModel, ...]] = (encoder, pre_norm_encoder, make_residual_cnn)
    refused: ClassVar[tuple[MakeModel, ...]] = (tiny_mlp, tiny_cnn, tiny_lstm, tiny_int8_cnn)
    min_cosine = None

    def open_reference(self, path: Path) -> Runner:
        return open_onnx(path, 1)


# ---------------------------------------------------------------------------------------------- finding


@pytest.mark.parametrize("pre_norm", [False, True])
def test_blocks_of_a_transformer_begin_and_end_on_the_stream(tmp_path: Path, pre_norm: bool) -> None:
    blocks = find_blocks(onnx.load(make_encoder(tmp_path, pre_norm=pre_norm).path).graph)
    ends = [f"block{number}_{'sum' if pre_norm else 'end'}" for number in range(4)]
    assert [block.end for block in blocks] == ends
    assert [block.start for block in blocks] == ["embedded" if pre_norm else "first", *ends[:-1]]
    assert {block.parameters for block in blocks} == {4 * WIDTH * WIDTH + 2 * WIDTH}


def test_blocks_of_another_form_end_a_stack(tmp_path: Path) -> None:
    blocks = find_blocks(onnx.load(make_residual_cnn(tmp_path).path).graph)
    assert [block.end for block in blocks] == ["block0_sum", "block1_sum", "block2_sum"]


def test_networks_without_residuals_have_no_blocks(tmp_path: Path) -> None:
    network = Network()
    stream = "x"
    for number in range(4):
        stream = network.node("MatMul", [stream, network.weight(f"w{number}", WIDTH, WIDTH)], f"m{number}")
        stream = network.node("Relu", [stream], f"y{number}")
    model = network.save(tmp_path / "m.onnx", {"x": ("b", WIDTH)}, {stream: ("b", WIDTH)}, {"b": DimRange(1, 2, 4)})
    (problem,) = DropLayers(DropLayersOptions(count=1)).check(model)
    assert "no residual block repeats" in problem.reason


def test_a_mask_that_goes_past_the_blocks_does_not_hide_them(tmp_path: Path) -> None:
    network, stream = Network(), "x"
    mask = network.node("Mul", ["mask", network.constant("low", -1e4)], "bias")
    for number in range(3):
        scores = network.node("MatMul", [stream, network.weight(f"w{number}", WIDTH, WIDTH)], f"m{number}")
        masked = network.node("Add", [scores, mask], f"masked{number}")
        weights = network.node("Softmax", [masked], f"s{number}")
        stream = network.node("Add", [weights, stream], f"y{number}")
    values = {"x": ("b", WIDTH), "mask": ("b", WIDTH)}
    model = network.save(tmp_path / "m.onnx", values, {stream: ("b", WIDTH)}, {"b": DimRange(1, 2, 4)})
    assert [block.end for block in find_blocks(onnx.load(model.path).graph)] == ["y0", "y1", "y2"]
    applied = apply(DropLayers, model, blocks=[1])
    assert "w1" not in stored(applied.proto)
    chance = np.random.default_rng(0)
    feed = {name: chance.normal(size=(2, WIDTH)).astype(np.float32) for name in values}
    feed["mask"] = (feed["mask"] > 0).astype(np.float32)
    expected = feed["x"]
    for number in (0, 2):
        scores = expected @ network.stored[f"w{number}"] - 1e4 * feed["mask"]
        weights = np.exp(scores - scores.max(1, keepdims=True))
        expected = expected + weights / weights.sum(1, keepdims=True)
    assert np.allclose(run(applied.result.model.path, [feed]), expected, atol=1e-5)


def test_shapes_taken_of_the_stream_do_not_hide_blocks(tmp_path: Path) -> None:
    """Exporters take batch and length from the first block's input and reuse them in all others."""
    network, stream = Network(), "x"
    shape = network.node("Shape", ["x"], "shape")
    for number in range(3):
        flat = network.node("Reshape", [stream, network.constant("flat", [-1, WIDTH], np.int64)], f"f{number}")
        product = network.node("MatMul", [flat, network.weight(f"w{number}", WIDTH, WIDTH)], f"m{number}")
        back = network.node("Reshape", [product, shape], f"b{number}")
        stream = network.node("Add", [stream, back], f"y{number}")
    values = {"x": ("b", 3, WIDTH)}, {stream: ("b", 3, WIDTH)}
    model = network.save(tmp_path / "m.onnx", *values, {"b": DimRange(1, 2, 4)})
    assert len(find_blocks(onnx.load(model.path).graph)) == 3
    assert set(stored(apply(DropLayers, model, blocks=[0]).proto)) == {"flat", "w1", "w2"}


def test_a_block_whose_inner_shape_is_used_outside_has_to_stay(tmp_path: Path) -> None:
    network, stream = Network(), "x"
    for number in range(2):
        product = network.node("MatMul", [stream, network.weight(f"w{number}", WIDTH, WIDTH)], f"m{number}")
        stream = network.node("Add", [stream, product], f"y{number}")
    network.node("Reshape", [stream, network.node("Shape", ["m0"], "shape")], "z")
    model = network.save(tmp_path / "m.onnx", {"x": ("b", WIDTH)}, {"z": ("b", WIDTH)}, {"b": DimRange(1, 2, 4)})
    (problem,) = DropLayers(DropLayersOptions(blocks=(0,))).check(model)
    assert "'m0' is used outside" in problem.reason
    assert not DropLayers(DropLayersOptions(blocks=(1,))).check(model)
    assert apply(DropLayers, model, [_vectors()], count=1).result.facts["removed"] == [1]


def _vectors() -> dict[str, np.ndarray[Any, Any]]:
    return {"x": np.random.default_rng(0).normal(size=(2, WIDTH)).astype(np.float32)}


# ---------------------------------------------------------------------------------------------- removing


@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize("removed", [[0], [1, 2], [0, 3], [-1], [0, 1, 2, 3]])
def test_without_data_the_rest_computes_as_if_the_blocks_added_nothing(
    tmp_path: Path, pre_norm: bool, removed: list[int]
) -> None:
    """A post-norm block that adds nothing hands on what is normalised already."""
    model = make_encoder(tmp_path, pre_norm=pre_norm)
    applied = apply(DropLayers, model, blocks=removed)
    silent = onnx.load(model.path)
    for number in removed:
        (weight,) = [t for t in silent.graph.initializer if t.name == f"block{number % 4}_branch_down_w"]
        weight.CopyFrom(numpy_helper.from_array(np.zeros((2 * WIDTH, WIDTH), np.float32), weight.name))
    onnx.save(silent, tmp_path / "silent.onnx")
    feeds = sentences(3, seed=1)
    assert np.allclose(run(applied.result.model.path, feeds), run(tmp_path / "silent.onnx", feeds), atol=1e-4)
    left = stored(applied.proto)
    assert not [name for number in removed for name in left if name.startswith(f"block{number % 4}_")]
    assert "no calibration data" in applied.notes[0]


def test_a_block_at_the_end_keeps_the_output_s_name(tmp_path: Path) -> None:
    network, stream = Network(), "x"
    for number in range(3):
        product = network.node("MatMul", [stream, network.weight(f"w{number}", WIDTH, WIDTH)], f"m{number}")
        stream = network.node("Add", [stream, product], f"y{number}")
    model = network.save(tmp_path / "m.onnx", {"x": ("b", WIDTH)}, {"y2": ("b", WIDTH)}, {"b": DimRange(1, 2, 4)})
    result = apply(DropLayers, model, [_vectors()] * 2, blocks=[2], correction="none").result
    assert result.model.signature == model.signature
    x = _vectors()["x"]
    for number in range(2):
        x = x + x @ network.stored[f"w{number}"]
    assert np.allclose(run(result.model.path, [_vectors()]), x, atol=1e-4)


def test_shared_weights_stay_for_those_who_still_read_them(tmp_path: Path) -> None:
    network, stream = Network(), "x"
    shared = network.weight("w", WIDTH, WIDTH)
    for number in range(3):
        product = network.node("MatMul", [stream, shared], f"m{number}")
        stream = network.node("Add", [stream, product], f"y{number}")
    model = network.save(tmp_path / "m.onnx", {"x": ("b", WIDTH)}, {stream: ("b", WIDTH)}, {"b": DimRange(1, 2, 4)})
    applied = apply(DropLayers, model, blocks=[0, 1])
    assert list(stored(applied.proto)) == ["w"]
    x = _vectors()["x"]
    assert np.allclose(run(applied.result.model.path, [_vectors()]), x + x @ network.stored["w"], atol=1e-5)


# ---------------------------------------------------------------------------------------------- choosing


def test_output_finds_the_block_that_adds_least(tmp_path: Path) -> None:
    model = make_encoder(tmp_path, pre_norm=True, scales=(1, 0.01, 1, 0.05))
    facts = apply(DropLayers, model, sentences(4), count=2).result.facts
    assert facts["removed"] == [1, 3]
    measured = facts["measured"]
    assert isinstance(measured, dict)
    whole, feeds = run(model.path, sentences(4)), sentences(4)
    alone = run(apply(DropLayers, model, blocks=[1]).result.model.path, feeds)
    assert measured["1"] == pytest.approx(relative_error(alone, whole), rel=0.01)


def test_angle_ranks_by_how_far_the_stream_turns(tmp_path: Path) -> None:
    model = make_encoder(tmp_path, pre_norm=True, scales=(1, 0.01, 1, 0.05))
    facts = apply(DropLayers, model, sentences(4), keep=3, measure="angle").result.facts
    assert facts["removed"] == [1]
    measured = facts["measured"]
    assert isinstance(measured, dict)
    with_streams = onnx.load(model.path)
    names = ("block0_sum", "block1_sum")
    for name in names:
        with_streams.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    onnx.save(with_streams, tmp_path / "streams.onnx")
    with open_onnx(tmp_path / "streams.onnx", 1) as runner:
        results = [runner.infer(feed) for feed in sentences(4)]
    x, y = (np.concatenate([result[name].reshape(-1, WIDTH) for result in results]) for name in names)
    cosines = (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
    assert measured["1"] == pytest.approx(np.arccos(np.clip(cosines, -1, 1)).mean() / np.pi, abs=1e-4)


# ---------------------------------------------------------------------------------------------- correcting


@pytest.mark.parametrize(
    ("make", "samples"),
    [
        (encoder, sentences),
        (pre_norm_encoder, sentences),
        (make_residual_cnn, pictures),
    ],
)
def test_corrections_help_on_data_that_they_have_not_seen(tmp_path: Path, make: MakeModel, samples: Callable) -> None:
    model, unseen = make(tmp_path), samples(20, seed=9)
    whole = run(model.path, unseen)
    errors = {
        kind: relative_error(
            run(apply(DropLayers, model, samples(60), blocks=[0], correction=kind).result.model.path, unseen), whole
        )
        for kind in ("none", "scale", "linear")
    }
    assert errors["linear"] < errors["scale"] < errors["none"]


def test_a_scale_vanishes_in_the_normalisation_in_front(tmp_path: Path) -> None:
    applied = apply(DropLayers, make_encoder(tmp_path), sentences(8), blocks=[1], correction="scale")
    assert applied.result.facts["gaps"][0]["folded"] is True  # type: ignore[index, call-overload] - JSON
    assert [node.op_type for node in applied.proto.graph.node].count("Mul") == 0
    (changed,) = [name for name in stored(applied.proto) if name.startswith("block0_end_g")]
    assert not np.allclose(stored(applied.proto)[changed], 1)


def test_a_block_that_is_linear_is_replaced_without_loss(tmp_path: Path) -> None:
    network, stream = Network(), "x"
    for number in range(2):
        product = network.node("MatMul", [stream, network.weight(f"w{number}", WIDTH, WIDTH)], f"m{number}")
        shifted = network.node("Add", [product, network.weight(f"b{number}", WIDTH)], f"s{number}")
        stream = network.node("Add", [stream, shifted], f"y{number}")
    network.node("Relu", [stream], "z")
    model = network.save(tmp_path / "m.onnx", {"x": ("b", WIDTH)}, {"z": ("b", WIDTH)}, {"b": DimRange(1, 64, 64)})
    chance = np.random.default_rng(5)
    feeds = [{"x": chance.normal(size=(64, WIDTH)).astype(np.float32)} for _ in range(5)]
    result = apply(DropLayers, model, feeds[:4], blocks=[0, 1]).result
    assert relative_error(run(result.model.path, feeds[4:]), run(model.path, feeds[4:])) < 1e-6


def test_one_sample_corrects_carefully(tmp_path: Path) -> None:
    """What a single sample says is not believed much: the correction may not make things worse."""
    model, unseen = make_encoder(tmp_path), sentences(20, seed=9)
    whole = run(model.path, unseen)
    plain = apply(DropLayers, model, blocks=[1]).result.model.path
    corrected = apply(DropLayers, model, sentences(1), blocks=[1]).result.model.path
    assert relative_error(run(corrected, unseen), whole) < 1.1 * relative_error(run(plain, unseen), whole)


def test_regression_equals_least_squares_and_counts_unseen_error() -> None:
    chance = np.random.default_rng(1)
    x, noise = chance.normal(size=(4000, 5)) + 2, chance.normal(size=(4000, 3))
    truth, shift = chance.normal(size=(5, 3)), np.array([1.0, -2, 3])
    y = x @ truth + shift + 0.5 * noise
    regression = Regression(5, 3)
    for start in range(0, 4000, 100):
        regression.see(x[start : start + 100], y[start : start + 100])
    fit = regression.fit(np.zeros((5, 3)))
    expected = np.linalg.lstsq(np.c_[x, np.ones(len(x))], y, rcond=None)[0]
    assert np.allclose(fit.matrix, expected[:5], atol=1e-3)
    assert np.allclose(fit.shift, expected[5], atol=1e-2)
    assert fit.error == pytest.approx(0.25 * 3 / y.var(axis=0).sum(), rel=0.05)
    assert fit.error_before == pytest.approx(1, rel=0.01)


# ---------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"blocks": [4]}, "there is no block 4: this network has blocks 0 to 3"),
        ({"blocks": [3, -1]}, "names a block twice"),
        ({"count": 5}, "5 blocks are to go, but only 4 can"),
        ({"keep": 4}, "`keep` leaves none to remove"),
    ],
)
def test_impossible_wishes_are_refused(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    (problem,) = DropLayers(DropLayersOptions(**options)).check(make_encoder(tmp_path))
    assert said in problem.reason


@pytest.mark.parametrize("options", [{"count": 1, "keep": 2}, {"blocks": [0], "count": 1}, {"count": 0}, {"keep": -1}])
def test_contradicting_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        DropLayersOptions(**options)


def test_blocks_whose_weights_are_inputs_stay(tmp_path: Path) -> None:
    network, stream = Network(), "x"
    for number in range(2):
        product = network.node("MatMul", [stream, network.weight(f"w{number}", WIDTH, WIDTH)], f"m{number}")
        stream = network.node("Add", [stream, product], f"y{number}")
    values = {"x": ("b", WIDTH)}, {stream: ("b", WIDTH)}
    model = network.save(tmp_path / "m.onnx", *values, {"b": DimRange(1, 2, 4)}, fed=["w0"])
    problems = DropLayers(DropLayersOptions(blocks=(0,))).check(model)
    assert "'w0' is an input" in problems[0].reason


def test_choosing_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        apply(DropLayers, make_encoder(tmp_path), count=1)
    assert caught.value.code == "calibration-missing"
    assert "name the blocks" in (caught.value.hint or "")


def test_nan_in_the_data_is_refused(tmp_path: Path) -> None:
    bad = [{"image": np.full((2, 3, 8, 8), np.nan, np.float32)}]
    with pytest.raises(ConfigError) as caught:
        apply(DropLayers, make_residual_cnn(tmp_path), bad, count=1)
    assert caught.value.code == "calibration-not-finite"


def test_integer_outputs_cannot_be_compared(tmp_path: Path) -> None:
    model = make_encoder(tmp_path)
    proto = onnx.load(model.path)
    proto.graph.node.append(helper.make_node("ArgMax", ["vector"], ["best"], axis=1, keepdims=0))
    del proto.graph.output[:]
    proto.graph.output.append(helper.make_tensor_value_info("best", onnx.TensorProto.INT64, ["batch"]))
    onnx.save(proto, tmp_path / "best.onnx")
    best = read_model(tmp_path / "best.onnx", model.signature.dims)
    (problem,) = DropLayers(DropLayersOptions(count=1)).check(best)
    assert problem.fix == 'set measure = "angle"'
    assert not DropLayers(DropLayersOptions(count=1, measure="angle")).check(best)


# ---------------------------------------------------------------------------------------------- runtimes


@pytest.mark.parametrize(("make", "samples"), [(encoder, sentences), (make_residual_cnn, pictures)])
def test_openvino_computes_the_same(tmp_path: Path, make: MakeModel, samples: Callable) -> None:
    from edgetool.context import BuildContext
    from edgetool_openvino.backend import OpenVino

    result = apply(DropLayers, make(tmp_path), samples(6), blocks=[1]).result.model
    (tmp_path / "engine").mkdir()
    backend, context = OpenVino(OpenVino.Options()), BuildContext(threads=1)
    with backend.open(backend.build(result, tmp_path / "engine", context), context) as runner:
        for feed in samples(2, seed=5):
            (found,) = runner.infer(feed).values()
            assert np.allclose(found, run(result.path, [feed]), atol=1e-3)
