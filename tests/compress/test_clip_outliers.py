"""`clip-outliers`: where it cuts, against searches of our own, and that what quantizes afterwards gains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgetool.artifact import Model
from edgetool.context import BuildContext, PassContext
from edgetool.errors import ConfigError
from edgetool.passes.base import AnyPass, PassResult
from edgetool.runner import Runner
from edgetool.testing import PassConformance, tiny_cnn, tiny_int8_cnn, tiny_mlp
from edgetool_onnxruntime.backend import OnnxRuntime
from edgetool_onnxruntime.reference import open_onnx
from edgetool_openvino.backend import OpenVino
from edgetool_passes.clip_outliers import ClipOutliers, best_limits
from edgetool_passes.quantize_dynamic import QuantizeDynamic
from edgetool_passes.quantize_weights import QuantizeWeights
from tests.compress.weight_networks import (
    Array,
    Feed,
    Samples,
    convolutions,
    product,
    relative_error,
    run,
    save_network,
    weight,
)


class TestPromises(PassConformance):
    pass_class = ClipOutliers
    options = {"activations": "percentile", "percentile": 95, "weight_bits": 4}
    models = (tiny_mlp, tiny_cnn)
    refused = (tiny_int8_cnn,)
    min_cosine = 0.9

    def open_reference(self, path: Path) -> Runner:
        return open_onnx(path, 1)


def applied(subject: AnyPass, model: Model, folder: Path, samples: Sequence[Feed] | None = None) -> PassResult:
    folder.mkdir()
    data = None if samples is None else Samples(samples)
    context = PassContext(threads=1, open_reference=lambda path: open_onnx(path, 1), calibration=data)
    return subject.apply(model, folder, context)


def clip(model: Model, folder: Path, samples: Sequence[Feed] | None = None, **options: Any) -> PassResult:
    return applied(ClipOutliers(ClipOutliers.Options(**options)), model, folder, samples)


def with_outliers(model: Model, count: int, *, seed: int = 0) -> list[dict[str, Array]]:
    """Feeds of normal numbers, one in a thousand of them fifty times as large."""
    chance = np.random.default_rng(seed)
    (spec,) = model.signature.inputs
    shape = model.signature.input_shapes("opt")[spec.name]
    numbers = chance.normal(size=(count, *shape))
    numbers *= np.where(chance.random(numbers.shape) < 0.001, 50, 1)
    return [{spec.name: feed.astype(np.float32)} for feed in numbers]


def test_activations_are_cut_at_the_percentile(tmp_path: Path) -> None:
    model = product(tmp_path)
    samples = with_outliers(model, 20)
    result = clip(model, tmp_path / "out", samples, weights="none", activations="percentile", percentile=99)
    proto = onnx.load(result.model.path)
    (node,) = (node for node in proto.graph.node if node.op_type == "Clip")
    low, high = (
        float(numpy_helper.to_array(tensor)) for name in node.input[1:] for tensor in proto.graph.initializer
        if tensor.name == name
    )  # fmt: skip
    seen = np.concatenate([feed["x"].reshape(-1) for feed in samples])
    magnitude = np.quantile(np.abs(seen), 0.99)
    assert -low == pytest.approx(magnitude, rel=0.05)
    assert high == pytest.approx(magnitude, rel=0.05)
    assert result.facts["clipped_activations"] == 1
    clipped = [{"x": np.clip(feed["x"], low, high)} for feed in samples]
    assert relative_error(run(result.model.path, samples), run(model.path, clipped)) < 1e-6


def test_ranges_without_outliers_get_no_node(tmp_path: Path) -> None:
    model = product(tmp_path)
    even = [{"x": np.random.default_rng(i).uniform(-1, 1, (2, 5, 64)).astype(np.float32)} for i in range(20)]
    result = clip(model, tmp_path / "out", even, weights="none", activations="mse")
    assert not result.changed
    assert result.facts["clipped_activations"] == 0


def test_other_readers_see_the_whole_tensor(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], "product"),
        helper.make_node("Add", ["h", "x"], ["y"], "residual"),
    ]
    model = save_network(tmp_path / "m.onnx", nodes, {"w": weight(64, 64)}, {"x": ["batch", 64]}, {"y": ["batch", 64]})
    graph = onnx.load(
        clip(model, tmp_path / "out", with_outliers(model, 20), activations="percentile", percentile=99).model.path
    ).graph
    readers = {node.name: list(node.input) for node in graph.node}
    assert readers["product"][0] == "x_clipped"
    assert "x" in readers["residual"]


def test_quantization_at_run_time_gains_where_outliers_are_noise(tmp_path: Path) -> None:
    model = product(tmp_path)
    samples, unseen = with_outliers(model, 60), with_outliers(model, 60, seed=1)
    expected = run(model.path, unseen)
    usual = np.abs(np.concatenate([feed["x"] for feed in unseen])).max(axis=-1) < 10  # no outlier in this row
    clipped = clip(model, tmp_path / "clipped", samples, weights="none", activations="percentile", percentile=99.8)

    def error(start: Model, name: str) -> float:
        result = applied(QuantizeDynamic(QuantizeDynamic.Options()), start, tmp_path / name)
        return relative_error(run(result.model.path, unseen)[usual], expected[usual])

    assert error(clipped.model, "with") < 0.2 * error(model, "without")


def test_limits_are_the_best_of_a_finer_search() -> None:
    rows = np.stack([weight(400, seed=seed) for seed in range(4)])
    for bits in (4, 8):
        levels = 2 ** (bits - 1) - 1

        def error(row: Array, limit: float, levels: int = levels) -> float:
            step = limit / levels
            return float(((np.clip(np.rint(row / step), -levels, levels) * step - row) ** 2).sum())

        for row, found in zip(rows, best_limits(rows, bits=bits), strict=True):
            finer = min(error(row, limit) for limit in np.linspace(0.3, 1, 2000) * np.abs(row).max())
            assert error(row, found) <= 1.05 * finer
    assert best_limits(np.zeros((2, 5)), bits=8).tolist() == [0, 0]


def test_four_bit_weights_without_blocks_gain(tmp_path: Path) -> None:
    model = product(tmp_path, inputs=1024)
    clipped = clip(model, tmp_path / "clipped", weight_bits=4)
    four = QuantizeWeights(QuantizeWeights.Options(bits=4, block_size=0, min_size=1))
    samples = [{"x": np.random.default_rng(3).normal(size=(2, 5, 1024)).astype(np.float32)}]
    expected = run(model.path, samples)
    with_it, without = (
        relative_error(run(applied(four, start, tmp_path / name).model.path, samples), expected)
        for start, name in ((clipped.model, "with"), (model, "without"))
    )
    assert clipped.facts["clipped_weights"] == 1
    assert with_it < 0.9 * without


def test_one_limit_in_all(tmp_path: Path) -> None:
    model = product(tmp_path)
    result = clip(model, tmp_path / "out", weight_bits=4, per_channel=False)
    (tensor,) = onnx.load(result.model.path).graph.initializer
    taken, original = numpy_helper.to_array(tensor), weight(64, 48)
    limit = best_limits(original.reshape(1, -1), bits=4)[0]
    assert np.array_equal(taken, np.clip(original, -np.float32(limit), np.float32(limit)))


def test_runtimes_take_it(tmp_path: Path) -> None:
    model = convolutions(tmp_path)
    samples = with_outliers(model, 4)
    clipped = clip(model, tmp_path / "out", samples, weights="none", activations="percentile", percentile=99).model
    expected, context = run(clipped.path, samples), BuildContext(threads=1)
    for backend in (OnnxRuntime(OnnxRuntime.Options()), OpenVino(OpenVino.Options())):
        folder = tmp_path / type(backend).__name__
        folder.mkdir()
        with backend.open(backend.build(clipped, folder, context), context) as runner:
            result = np.concatenate([next(iter(runner.infer(feed).values())) for feed in samples])
        assert relative_error(result, expected) < 2e-3


def test_bad_data_and_options(tmp_path: Path) -> None:
    model = product(tmp_path)
    broken = [{"x": np.full((2, 5, 64), np.nan, np.float32)}]
    cases: list[tuple[list[Feed] | None, str]] = [
        (None, "calibration-missing"), ([], "calibration-empty"), (list(broken), "calibration-not-finite"),
    ]  # fmt: skip
    for number, (samples, code) in enumerate(cases):
        with pytest.raises(ConfigError) as caught:
            clip(model, tmp_path / str(number), samples, activations="mse")
        assert caught.value.code == code
    for options in ({"percentile": 100}, {"weights": "none"}, {"weight_bits": 3}):
        with pytest.raises(ValueError, match=next(iter(options))):
            ClipOutliers.Options(**options)
    old = product(tmp_path, opset=10)
    (refusal,) = ClipOutliers(ClipOutliers.Options()).check(old)
    assert (refusal.severity, "convert-opset" in str(refusal.fix)) == ("refuse", True)


def test_one_sample_is_enough(tmp_path: Path) -> None:
    model = product(tmp_path)
    assert clip(
        model, tmp_path / "out", with_outliers(model, 1), weights="none", activations="percentile", percentile=98
    ).changed
