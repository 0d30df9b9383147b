"""`clip-outliers`: where it cuts, against a search of our own, and that coarse quantizers gain afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgetool.artifact import Model
from edgetool.context import BuildContext, PassContext
from edgetool.errors import ModelError
from edgetool.passes.base import AnyPass, PassResult
from edgetool.testing import PassConformance, tiny_cnn, tiny_int8_cnn, tiny_lstm, tiny_mlp
from edgetool_onnxruntime.backend import OnnxRuntime
from edgetool_onnxruntime.reference import open_onnx
from edgetool_openvino.backend import OpenVino
from edgetool_passes.clip_outliers import ClipOutliers, best_limits
from edgetool_passes.quantize_weights import QuantizeWeights
from tests.compress.weight_networks import (
    Array,
    convolutions,
    feeds,
    perceptron,
    product,
    relative_error,
    run,
    save_network,
    weight,
)


class TestFourBits(PassConformance):
    pass_class = ClipOutliers
    options = {"bits": 4}
    models = (tiny_mlp, tiny_cnn, tiny_lstm)
    refused = (tiny_int8_cnn,)
    samples = 0
    min_cosine = 0.95


class TestOneLimitInAll(PassConformance):
    pass_class = ClipOutliers
    options = {"per_channel": False}
    models = (tiny_mlp, tiny_cnn)
    samples = 0
    min_cosine = 0.999


def applied(subject: AnyPass, model: Model, folder: Path) -> PassResult:
    folder.mkdir()
    return subject.apply(model, folder, PassContext(threads=1, open_reference=lambda path: open_onnx(path, 1)))


def clip(model: Model, folder: Path, **options: Any) -> PassResult:
    return applied(ClipOutliers(ClipOutliers.Options(**options)), model, folder)


def stored(model: Model, name: str) -> Array:
    (found,) = (tensor for tensor in onnx.load(model.path).graph.initializer if tensor.name == name)
    return numpy_helper.to_array(found)


def rounding_error(row: Array, limit: float, *, bits: int) -> float:
    levels = 2 ** (bits - 1) - 1
    step = limit / levels
    return float(((np.clip(np.rint(row / step), -levels, levels) * step - row) ** 2).sum())


@pytest.mark.parametrize("bits", [4, 8])
def test_limits_are_as_good_as_those_of_a_finer_search(bits: int) -> None:
    rows = np.stack([weight(400, seed=seed) for seed in range(4)])
    for row, found in zip(rows, best_limits(rows, bits=bits), strict=True):
        tried = np.linspace(0.3, 1, 2000) * np.abs(row).max()
        finer = min(rounding_error(row, limit, bits=bits) for limit in tried)
        assert rounding_error(row, found, bits=bits) <= 1.05 * finer


def test_rows_of_zeros_have_the_limit_zero() -> None:
    assert best_limits(np.zeros((2, 5)), bits=8).tolist() == [0, 0]


@pytest.mark.parametrize(("make", "name", "axis"), [(product, "w", 1), (perceptron, "a", 0), (convolutions, "up", 1)])
def test_every_channel_has_its_own_limit(make: Any, name: str, axis: int, tmp_path: Path) -> None:
    model = make(tmp_path)
    before, after = (stored(m, name) for m in (model, clip(model, tmp_path / "out", bits=4).model))
    rows = np.moveaxis(before, axis, 0).reshape(before.shape[axis], -1)
    limits = best_limits(rows, bits=4).astype(np.float32)[:, None]
    assert np.array_equal(np.moveaxis(after, axis, 0).reshape(rows.shape), np.clip(rows, -limits, limits))
    assert (after != before).any()


def test_one_limit_in_all(tmp_path: Path) -> None:
    model = product(tmp_path)
    original = weight(64, 48)
    limit = np.float32(best_limits(original.reshape(1, -1), bits=4)[0])
    result = clip(model, tmp_path / "out", bits=4, per_channel=False)
    assert np.array_equal(stored(result.model, "w"), np.clip(original, -limit, limit))
    assert result.facts["mean_share"] == pytest.approx((np.abs(original) > limit).mean())


def test_four_bits_without_blocks_gain(tmp_path: Path) -> None:
    model = product(tmp_path, inputs=1024)
    clipped = clip(model, tmp_path / "clipped", bits=4)
    four = QuantizeWeights(QuantizeWeights.Options(bits=4, block_size=0, min_size=1))
    samples = feeds(model, 2)
    expected = run(model.path, samples)
    with_it, without = (
        relative_error(run(applied(four, start, tmp_path / name).model.path, samples), expected)
        for start, name in ((clipped.model, "with"), (model, "without"))
    )
    assert with_it < 0.9 * without


def test_a_shared_weight_is_clipped_once(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], "first"),
        helper.make_node("MatMul", ["h", "w"], ["y"], "second"),
    ]
    model = save_network(tmp_path / "m.onnx", nodes, {"w": weight(48, 48)}, {"x": ["batch", 48]}, {"y": ["batch", 48]})
    assert clip(model, tmp_path / "out", bits=4).facts["clipped"] == 1


def test_excluded_weights_stay(tmp_path: Path) -> None:
    model = perceptron(tmp_path)
    result = clip(model, tmp_path / "out", bits=4, exclude=["fir*"])
    assert list(result.facts["excluded"]) == ["first"]  # type: ignore[call-overload, arg-type] # a dict of strings
    assert np.array_equal(stored(result.model, "a"), stored(model, "a"))


def test_nothing_to_clip_changes_nothing(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], "product")]
    even = np.sign(weight(48, 48))
    model = save_network(tmp_path / "m.onnx", nodes, {"w": even}, {"x": ["batch", 48]}, {"y": ["batch", 48]})
    result = clip(model, tmp_path / "out")
    assert (result.changed, result.model) == (False, model)


def test_broken_weights_are_named(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], "product")]
    broken = weight(48, 48)
    broken[1, 1] = np.nan
    model = save_network(tmp_path / "m.onnx", nodes, {"w": broken}, {"x": ["batch", 48]}, {"y": ["batch", 48]})
    with pytest.raises(ModelError, match="w") as caught:
        clip(model, tmp_path / "out")
    assert caught.value.code == "non-finite-weight"


def test_runtimes_take_it(tmp_path: Path) -> None:
    clipped = clip(convolutions(tmp_path), tmp_path / "out", bits=4).model
    samples, context = feeds(clipped, 2), BuildContext(threads=1)
    expected = run(clipped.path, samples)
    for backend in (OnnxRuntime(OnnxRuntime.Options()), OpenVino(OpenVino.Options())):
        folder = tmp_path / type(backend).__name__
        folder.mkdir()
        with backend.open(backend.build(clipped, folder, context), context) as runner:
            result = np.concatenate([next(iter(runner.infer(feed).values())) for feed in samples])
        assert relative_error(result, expected) < 2e-3
