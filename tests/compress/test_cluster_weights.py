"""`cluster-weights`: its promises, its palettes against computations of our own, and what users do wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgetool.artifact import Model
from edgetool.context import BuildContext, PassContext
from edgetool.errors import ConfigError, ModelError
from edgetool.passes.base import PassResult
from edgetool.runner import Runner
from edgetool.testing import (
    PassConformance,
    tiny_branches,
    tiny_cnn,
    tiny_int8_cnn,
    tiny_lstm,
    tiny_mlp,
    tiny_text,
)
from edgetool.testing.samples import GivenSamples
from edgetool_onnxruntime.backend import OnnxRuntime
from edgetool_onnxruntime.reference import open_onnx
from edgetool_openvino.backend import OpenVino
from edgetool_passes.cluster_weights import ClusterWeights
from edgetool_passes.palettes.codebook import fitting
from edgetool_passes.palettes.wishes import Coding, Wishes
from tests.compress.weight_networks import (
    Array,
    Feed,
    convolutions,
    correlated,
    feeds,
    perceptron,
    product,
    reader,
    relative_error,
    run,
    save_network,
    weight,
)


class _ClusterWeights(PassConformance):
    __test__ = False
    pass_class = ClusterWeights
    models = (tiny_mlp, tiny_cnn, tiny_lstm, tiny_text)
    refused = (tiny_int8_cnn,)
    samples = 0
    min_cosine = 0.98

    def open_reference(self, path: Path) -> Runner:
        return open_onnx(path, 1)


class TestEntropy(_ClusterWeights):
    __test__ = True
    options = {"min_size": 16, "bits": 5}


class TestFixed(_ClusterWeights):
    __test__ = True
    options = {"min_size": 16, "coding": "fixed", "bits": 4.5, "group_size": 24}


class TestCompensated(_ClusterWeights):
    __test__ = True
    options = {"min_size": 16, "bits": 5}
    samples = 4
    min_cosine = 0.95  # four samples of noise are no data to be good at


def cluster(model: Model, folder: Path, samples: Sequence[Feed] | None = None, **options: Any) -> PassResult:
    folder.mkdir()
    subject = ClusterWeights(ClusterWeights.Options(**{"min_size": 16, **options}))
    refusals = [problem for problem in subject.check(model) if problem.severity == "refuse"]
    assert not refusals, refusals
    data = None if samples is None else GivenSamples(samples)
    context = PassContext(threads=1, open_reference=lambda path: open_onnx(path, 1), calibration=data)
    return subject.apply(model, folder, context)


def stored(model: Model, name: str) -> Array:
    (found,) = (tensor for tensor in onnx.load(model.path).graph.initializer if tensor.name == name)
    return numpy_helper.to_array(found)


def save(model: Model, path: Path, **changes: Array) -> Model:
    """The model with other numbers in some weights."""
    proto = onnx.load(model.path)
    for tensor in proto.graph.initializer:
        if tensor.name in changes:
            tensor.CopyFrom(numpy_helper.from_array(changes[tensor.name], tensor.name))
    onnx.save(proto, path)
    return Model(path, model.signature)


def entropy(values: Array) -> float:
    counts = np.unique(values, return_counts=True)[1]
    return float(-(counts / counts.sum() * np.log2(counts / counts.sum())).sum())


# ------------------------------------------------------------------------------------------------------ palettes


def best_possible(numbers: Array, count: int) -> float:
    """The least sum of squared errors of any palette, by trying all (dynamic programming over sorted numbers)."""
    ordered = np.sort(numbers.astype(np.float64))
    sums, squares = (np.concatenate([[0], np.cumsum(ordered**power)]) for power in (1, 2))
    low, high = np.meshgrid(np.arange(len(ordered) + 1), np.arange(len(ordered) + 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        error = squares[high] - squares[low] - (sums[high] - sums[low]) ** 2 / (high - low)
    error[high <= low] = np.inf
    least = error[:, 0].copy()
    for _ in range(count - 1):
        least = (least[None, :] + error).min(axis=1)
    return float(least[-1])


def error_of(numbers: Array, *, bits: float, coding: Coding) -> tuple[float, Array]:
    codebook = fitting(numbers, Wishes(bits, coding, 0))
    taken = codebook.palette[codebook.indices(numbers, numbers == 0)]
    return float(((taken - numbers) ** 2).sum()), taken


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
@pytest.mark.parametrize("tail", [1.0, 3.0])
def test_fixed_palettes_are_nearly_the_best_possible(bits: int, tail: float) -> None:
    numbers = np.random.default_rng(bits).normal(size=600)
    numbers = np.sign(numbers) * np.abs(numbers) ** tail
    found, taken = error_of(numbers, bits=bits, coding="fixed")
    assert len(np.unique(taken)) <= 2**bits
    assert found <= 1.001 * best_possible(numbers, 2**bits)


@pytest.mark.parametrize("bits", [2, 3, 4, 5])
def test_entropy_keeps_the_promised_size_with_less_error(bits: int) -> None:
    numbers = np.random.default_rng(bits).normal(size=100_000)
    error, taken = error_of(numbers, bits=bits, coding="entropy")
    assert entropy(taken) == pytest.approx(bits, abs=0.12)
    # Of a normal distribution at high rate: 1.53 dB above Shannon's bound, 6 pi e / 36 = 1.42 times it.
    assert error / len(numbers) < 1.5 * 2 ** (-2 * entropy(taken))
    fixed, other = error_of(numbers, bits=bits, coding="fixed")
    same_size = error * 2 ** (2 * (entropy(taken) - entropy(other)))  # moved along the curve to the other's size
    assert same_size < (0.97 if bits > 2 else 1.0) * fixed


def test_rare_large_numbers_keep_palette_values_of_their_own() -> None:
    numbers = np.random.default_rng(0).normal(size=50_000)
    numbers[:20] = np.linspace(30, 60, 20)
    _, taken = error_of(numbers, bits=4, coding="entropy")
    assert np.abs(taken[:20] / numbers[:20] - 1).max() < 0.03
    assert len(np.unique(taken)) <= 256


def test_numbers_without_end_still_fit_into_a_byte() -> None:
    numbers = np.random.default_rng(1).standard_cauchy(200_000)
    _, taken = error_of(numbers, bits=8, coding="entropy")
    assert len(np.unique(taken)) <= 256
    assert np.isfinite(taken).all()


@pytest.mark.parametrize("coding", ["entropy", "fixed"])
@pytest.mark.parametrize(
    "numbers", [np.zeros(50), np.full(50, -2.5), np.array([1.0]), np.array([0, 1e-30, 1e30] * 9)], ids=str
)
def test_few_different_numbers_are_kept_exactly(numbers: Array, coding: Coding) -> None:
    error, taken = error_of(numbers, bits=2, coding=coding)
    assert error == 0
    assert np.array_equal(taken, numbers)


# ------------------------------------------------------------------------------------------------------ the pass


def test_zeros_stay_and_cost_no_bits(tmp_path: Path) -> None:
    pruned = weight(64, 48)
    pruned[np.random.default_rng(7).random(pruned.shape) < 0.8] = 0
    model = save(product(tmp_path), tmp_path / "pruned.onnx", w=pruned)
    for number, options in enumerate(({}, {"coding": "fixed", "bits": 3}, {"samples": feeds(model, 3)})):
        result = cluster(model, tmp_path / str(number), **options)
        taken = stored(result.model, "w")
        assert np.array_equal(taken == 0, pruned == 0)
        assert result.facts["zeros"] == (pruned == 0).sum()
    assert len(np.unique(stored(cluster(model, tmp_path / "f", coding="fixed", bits=3).model, "w"))) == 9


def test_groups_have_palettes_of_their_own(tmp_path: Path) -> None:
    model = product(tmp_path)
    whole = stored(cluster(model, tmp_path / "1", coding="fixed", bits=2).model, "w")
    parted = stored(cluster(model, tmp_path / "2", coding="fixed", bits=2, group_size=16 * 48).model, "w")
    assert len(np.unique(whole)) == 4
    assert [len(np.unique(parted[start : start + 16])) for start in range(0, 64, 16)] == [4] * 4
    assert len(np.unique(parted)) == 16
    assert relative_error(parted, weight(64, 48)) < relative_error(whole, weight(64, 48))


def test_facts_say_what_an_archive_will_take(tmp_path: Path) -> None:
    model = product(tmp_path, inputs=256, outputs=256)
    result = cluster(model, tmp_path / "out", bits=3)
    taken = stored(result.model, "w")
    facts = result.facts
    assert facts["bits"] == pytest.approx(entropy(taken), abs=1e-3)
    expected = entropy(taken) * taken.size / 8 + 4 * len(np.unique(taken))
    assert facts["coded_bytes"] == pytest.approx(expected, rel=0.001)
    assert facts["mean_error"] == pytest.approx(relative_error(taken, weight(256, 256)), rel=1e-3)


def test_embeddings_have_bits_of_their_own(tmp_path: Path) -> None:
    taken = cluster(reader(tmp_path), tmp_path / "out", coding="fixed", bits=4, embedding_bits=2).model
    assert (len(np.unique(stored(taken, "table"))), len(np.unique(stored(taken, "w")))) == (4, 16)


def test_samples_make_the_product_right_and_not_the_weight(tmp_path: Path) -> None:
    model = product(tmp_path, inputs=64, outputs=48)
    seen, unseen = correlated(model, 30), correlated(model, 30, seed=1)
    for number, options in enumerate(({"bits": 3}, {"bits": 3, "group_size": 480, "coding": "fixed"})):
        plain = cluster(model, tmp_path / f"plain{number}", seen, compensate=False, **options)
        fitted = cluster(model, tmp_path / f"fitted{number}", seen, **options)
        assert (plain.facts["compensated"], fitted.facts["compensated"]) == (0, 1)
        expected = run(model.path, unseen)
        plain_error, fitted_error = (relative_error(run(r.model.path, unseen), expected) for r in (plain, fitted))
        assert fitted_error < 0.7 * plain_error
        assert set(np.unique(stored(fitted.model, "w"))) <= set(np.unique(stored(plain.model, "w")))


def test_turned_gemms_and_pointwise_convolutions_are_compensated_too(tmp_path: Path) -> None:
    for make, expected in ((perceptron, 2), (convolutions, 1)):
        model = make(tmp_path)
        result = cluster(model, tmp_path / make.__name__, feeds(model, 8), bits=5, group_size=640)
        assert result.facts["compensated"] == expected
        unseen = feeds(model, 3, seed=5)
        assert relative_error(run(result.model.path, unseen), run(model.path, unseen)) < 0.1


def test_one_sample_is_enough(tmp_path: Path) -> None:
    model = product(tmp_path)
    assert cluster(model, tmp_path / "out", feeds(model, 1)).facts["compensated"] == 1


def test_float16_weights_stay_float16(tmp_path: Path) -> None:
    half = weight(64, 48).astype(np.float16)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], "product")]
    model = save_network(
        tmp_path / "half.onnx",
        nodes,
        {"w": half},
        {"x": ["batch", 64]},
        {"y": ["batch", 48]},
        dtype=TensorProto.FLOAT16,
    )
    taken = stored(cluster(model, tmp_path / "out", feeds(model, 2), coding="fixed").model, "w")
    assert (taken.dtype, len(np.unique(taken))) == (np.float16, 16)


def test_a_shared_weight_is_clustered_once(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], "first"),
        helper.make_node("MatMul", ["h", "w"], ["y"], "second"),
    ]
    model = save_network(tmp_path / "m.onnx", nodes, {"w": weight(48, 48)}, {"x": ["batch", 48]}, {"y": ["batch", 48]})
    result = cluster(model, tmp_path / "out", feeds(model, 2), coding="fixed")
    assert result.facts["clustered"] == 1
    assert len(np.unique(stored(result.model, "w"))) == 16


def test_weights_that_are_inputs_stay_and_are_named(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], "first"),
        helper.make_node("MatMul", ["h", "v"], ["y"], "second"),
    ]
    weights = {"w": weight(48, 48), "v": weight(48, 48, seed=1)}
    signature = {"x": ["batch", 48]}, {"y": ["batch", 48]}
    model = save_network(tmp_path / "m.onnx", nodes, weights, *signature, fed=["w"])
    (warning,) = ClusterWeights(ClusterWeights.Options(min_size=16)).check(model)
    assert (warning.severity, warning.nodes) == ("warn", ("first",))
    assert np.array_equal(stored(cluster(model, tmp_path / "out").model, "w"), weights["w"])
    alone = save_network(tmp_path / "alone.onnx", nodes, weights, *signature, fed=["w", "v"])
    (refusal,) = ClusterWeights(ClusterWeights.Options(min_size=16)).check(alone)
    assert (refusal.severity, "input" in refusal.reason) == ("refuse", True)


@pytest.mark.parametrize("make", [tiny_mlp, tiny_branches])
def test_nothing_to_cluster_is_refused_with_what_to_do(make: Any, tmp_path: Path) -> None:
    (refusal,) = ClusterWeights(ClusterWeights.Options()).check(make(tmp_path))
    assert refusal.severity == "refuse"
    assert "fewer than min_size = 1024" in refusal.reason
    assert refusal.fix


def test_excluded_weights_stay(tmp_path: Path) -> None:
    model = perceptron(tmp_path)
    result = cluster(model, tmp_path / "out", exclude=["fir*"])
    assert result.facts["excluded"] == {"first": "excluded by the recipe"}
    assert np.array_equal(stored(result.model, "a"), stored(model, "a"))
    assert not np.array_equal(stored(result.model, "b"), stored(model, "b"))


def test_what_is_clustered_already_is_left_alone(tmp_path: Path) -> None:
    once = cluster(product(tmp_path), tmp_path / "once", coding="fixed")
    twice = cluster(once.model, tmp_path / "twice", coding="fixed")
    assert not twice.changed
    assert twice.model == once.model


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_broken_weights_are_named(bad: float, tmp_path: Path) -> None:
    broken = weight(64, 48)
    broken[3, 4] = bad
    model = save(product(tmp_path), tmp_path / "broken.onnx", w=broken)
    with pytest.raises(ModelError, match="w") as caught:
        cluster(model, tmp_path / "out")
    assert caught.value.code == "non-finite-weight"


def test_broken_samples_are_refused(tmp_path: Path) -> None:
    model = product(tmp_path)
    for number, (samples, code) in enumerate(
        [([], "calibration-empty"), ([{"x": np.full((2, 5, 64), np.nan, np.float32)}], "calibration-not-finite")]
    ):
        with pytest.raises(ConfigError) as caught:
            cluster(model, tmp_path / str(number), samples)
        assert caught.value.code == code


@pytest.mark.parametrize("options", [{"bits": 0.5}, {"bits": 9}, {"coding": "huffman"}, {"group_size": -1}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        ClusterWeights.Options(**options)


@pytest.mark.parametrize("make", [perceptron, convolutions, reader, tiny_lstm])
def test_runtimes_compute_with_the_palette(make: Any, tmp_path: Path) -> None:
    model = cluster(make(tmp_path), tmp_path / "out", bits=3).model
    samples, context = feeds(model, 2), BuildContext(threads=1)
    results = []
    for backend in (OnnxRuntime(OnnxRuntime.Options()), OpenVino(OpenVino.Options())):
        folder = tmp_path / type(backend).__name__
        folder.mkdir()
        assert not backend.supports(model, context).problems
        with backend.open(backend.build(model, folder, context), context) as runner:
            results.append(np.concatenate([next(iter(runner.infer(feed).values())) for feed in samples]))
    expected = run(model.path, samples)
    assert all(relative_error(result, expected) < 2e-3 for result in results)
