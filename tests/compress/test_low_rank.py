"""What is factored, how finely, and that the factors compute what they should."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest

from edgetool.artifact import Model
from edgetool.errors import ConfigError
from edgetool.graph.macs import count_macs
from edgetool.graph.shapes import infer_shapes
from edgetool.runner import Runner
from edgetool.signature import DimRange
from edgetool.testing import (
    MakeModel,
    PassConformance,
    tiny_branches,
    tiny_cnn,
    tiny_int8_cnn,
    tiny_lstm,
    tiny_mlp,
    tiny_text,
)
from edgetool_onnxruntime.reference import open_onnx
from edgetool_passes.factorize.spectrum import of_inputs, of_results, of_weight
from edgetool_passes.low_rank import LowRank
from tests.compress.residual_networks import (
    SMALL,
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

Array = np.ndarray[Any, Any]


class _Conformance(PassConformance):
    __test__ = False
    pass_class = LowRank
    models: ClassVar[tuple[MakeModel, ...]] = (tiny_mlp, tiny_cnn, tiny_lstm, tiny_text, tiny_branches)
    refused: ClassVar[tuple[MakeModel, ...]] = (tiny_int8_cnn,)
    min_cosine = None

    def open_reference(self, path: Path) -> Runner:
        return open_onnx(path, 1)


class TestEnergy(_Conformance):
    __test__ = True
    options: ClassVar[dict[str, Any]] = {"energy": 0.5, **SMALL}


class TestWithoutData(_Conformance):
    __test__ = True
    options: ClassVar[dict[str, Any]] = {"energy": 0.999, **SMALL}
    min_cosine = 0.9
    samples = 0


class TestRefit(_Conformance):
    __test__ = True
    options: ClassVar[dict[str, Any]] = {"energy": 0.5, "refit": True, **SMALL}
    models: ClassVar[tuple[MakeModel, ...]] = (tiny_cnn, tiny_lstm)


# ---------------------------------------------------------------------------------------------- exactness


def low_rank_matrix(chance: np.random.Generator, rows: int, columns: int, rank: int) -> Array:
    return (chance.normal(size=(rows, rank)) @ chance.normal(size=(rank, columns)) / rows).astype(np.float32)


@pytest.fixture
def thin(tmp_path: Path) -> Callable[..., tuple[Model, list[dict[str, Array]]]]:
    """Makes a network of one node whose weight has rank 3."""

    def make(op_type: str, weight: Array, shape: tuple[int, ...], **attributes: Any) -> Any:
        network = Network(seed=7)
        inputs = ["x", network.constant("w", weight)]
        if op_type in ("Gemm", "Conv"):
            columns = weight.shape[0] if op_type == "Conv" or attributes.get("transB") else weight.shape[1]
            inputs.append(network.weight("b", columns))
        network.node(op_type, inputs, "y", **attributes)
        values = {"x": ("batch", *shape)}, {"y": ("batch", *[f"d{axis}" for axis in shape])}
        model = network.save(tmp_path / "thin.onnx", *values, {"batch": DimRange(1, 2, 4)})
        chance = np.random.default_rng(1)
        return model, [{"x": chance.normal(size=(2, *shape)).astype(np.float32)} for _ in range(6)]

    return make


RANDOM = np.random.default_rng(3)
KERNEL = low_rank_matrix(RANDOM, 12 * 9, 16, 3).T.reshape(16, 12, 3, 3)
COLUMN_ROW = np.einsum(
    "rch,row->ochw", RANDOM.normal(size=(3, 12, 3)), RANDOM.normal(size=(3, 16, 3))
).astype(np.float32)  # fmt: skip


@pytest.mark.parametrize("data", [False, True])
@pytest.mark.parametrize(
    ("op_type", "weight", "shape", "attributes", "kernels"),
    [
        ("MatMul", low_rank_matrix(RANDOM, 24, 20, 3), (5, 24), {}, "auto"),
        ("MatMul", low_rank_matrix(RANDOM, 16, 40, 3), (5, 16), {}, "auto"),
        ("Gemm", low_rank_matrix(RANDOM, 24, 20, 3), (24,), {}, "auto"),
        ("Gemm", low_rank_matrix(RANDOM, 20, 24, 3), (24,), {"transB": 1, "alpha": 0.5, "beta": 2.0}, "auto"),
        ("Conv", low_rank_matrix(RANDOM, 20, 24, 3)[:, :, None, None], (24, 6, 6), {"strides": [2, 2]}, "auto"),
        ("Conv", KERNEL, (12, 9, 7), {"pads": [1, 0, 1, 2], "strides": [2, 1]}, "channels"),
        ("Conv", KERNEL, (12, 9, 7), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, "channels"),
        ("Conv", COLUMN_ROW, (12, 9, 7), {"pads": [1, 0, 1, 2], "strides": [2, 1]}, "separable"),
        ("Conv", COLUMN_ROW, (12, 9, 9), {"dilations": [1, 2], "kernel_shape": [3, 3]}, "separable"),
        ("Conv", COLUMN_ROW, (12, 9, 7), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, "separable"),
        ("Conv", COLUMN_ROW, (12, 9, 7), {}, "auto"),
        ("Conv", low_rank_matrix(RANDOM, 12 * 5, 16, 3).T.reshape(16, 12, 5), (12, 9), {}, "auto"),
    ],
)
def test_a_weight_of_rank_three_is_factored_without_loss(
    thin: Any, op_type: str, weight: Array, shape: Any, attributes: Any, kernels: str, data: bool
) -> None:
    model, feeds = thin(op_type, weight, shape, **attributes)
    applied = apply(LowRank, model, feeds if data else None, energy=0.9999, kernels=kernels, **SMALL)
    (layer,) = factored(applied.result.facts).values()
    assert layer["rank"] == 3
    assert relative_error(run(applied.result.model.path, feeds), run(model.path, feeds)) < 1e-8
    assert parameters(applied.proto) < parameters(onnx.load(model.path))
    if kernels == "auto" and weight is COLUMN_ROW:
        assert layer["form"] == "separable"


def factored(facts: Mapping[str, Any]) -> dict[str, Any]:
    return dict(facts["factored"])


def parameters(proto: onnx.ModelProto) -> int:
    return sum(array.size for array in stored(proto).values() if array.dtype == np.float32 and array.ndim)


def test_facts_count_what_the_graph_holds(tmp_path: Path) -> None:
    model = make_encoder(tmp_path)
    applied = apply(LowRank, model, sentences(6), keep=0.5, **SMALL)
    facts: dict[str, Any] = dict(applied.result.facts)
    for name, proto in (("from", onnx.load(model.path)), ("to", applied.proto)):
        shaped = infer_shapes(proto, model.signature.input_shapes("opt"))
        assert facts["macs"][name] == count_macs(shaped).value
        assert facts["parameters"][name] == parameters(proto)
    for kind in ("parameters", "macs"):
        saved = [layer[kind]["from"] - layer[kind]["to"] for layer in facts["factored"].values()]
        assert facts[kind]["from"] - facts[kind]["to"] == sum(saved)


# ---------------------------------------------------------------------------------------------- spectra


def test_without_data_the_factors_are_the_truncated_decomposition() -> None:
    """Where all channels have one scale; else the same in units of the channels."""
    chance = np.random.default_rng(0)
    left, right = (np.linalg.qr(chance.normal(size=(64, 64)))[0] for _ in range(2))
    matrix = left * np.linspace(2, 1, 64) @ right
    spectrum = of_results(np.eye(64))
    assert np.allclose(spectrum.losses, 1 - np.arange(65) / 64)
    found = of_weight(matrix)
    scaled = matrix * found.scale
    singular = np.linalg.svd(scaled, compute_uv=False) ** 2
    assert np.allclose(found.losses[:-1], np.cumsum(singular[::-1])[::-1] / singular.sum())
    first, second = found.factors(matrix, 20)
    u, s, vt = np.linalg.svd(scaled)
    assert np.allclose(first @ second, (u[:, :20] * s[:20] @ vt[:20]) / found.scale, atol=1e-5)


@pytest.mark.parametrize(("rows", "columns"), [(20, 30), (30, 20)])
def test_losses_are_the_error_of_results_on_the_data(rows: int, columns: int) -> None:
    chance = np.random.default_rng(0)
    matrix = chance.normal(size=(rows, columns)).astype(np.float32)
    x = chance.normal(size=(2000, rows)) @ chance.normal(size=(rows, rows)) * np.geomspace(1, 0.01, rows)
    spectrum = of_inputs(matrix, x.T @ x / len(x))
    results = x @ matrix
    for rank in (1, 5, 12):
        first, second = spectrum.factors(matrix, rank)
        error = relative_error((x @ first @ second) * spectrum.scale, results * spectrum.scale)
        assert error == pytest.approx(spectrum.losses[rank], rel=1e-3, abs=1e-8)
    u, s, vt = np.linalg.svd(x @ matrix * spectrum.scale, full_matrices=False)
    best = (u[:, :5] * s[:5]) @ vt[:5]  # nothing of rank 5 fits these results better
    assert spectrum.losses[5] == pytest.approx(relative_error(best, results * spectrum.scale), rel=1e-3)


def test_data_tells_what_matters(tmp_path: Path) -> None:
    """Inputs lie in few directions, so that a low rank is enough; the weight alone does not tell."""
    network, chance = Network(seed=1), np.random.default_rng(2)
    product = network.node("MatMul", ["x", network.weight("w", 64, 48)], "m")
    network.node("Add", [product, network.weight("b", 48)], "y")
    dims = {"batch": DimRange(1, 32, 32)}
    model = network.save(tmp_path / "m.onnx", {"x": ("batch", 64)}, {"y": ("batch", 48)}, dims)
    few = chance.normal(size=(6, 64))
    feeds = [{"x": (chance.normal(size=(32, 6)) @ few + 3).astype(np.float32)} for _ in range(12)]
    options = {"keep": 0.4, **SMALL}
    errors = {
        kind: relative_error(run(apply(LowRank, model, data, **options).result.model.path, feeds[8:]), whole)
        for whole in [run(model.path, feeds[8:])]
        for kind, data in (("with", feeds[:8]), ("without", None))
    }
    assert errors["with"] < 1e-4
    assert errors["without"] > 1e-2


def test_the_mean_of_the_results_stays(tmp_path: Path) -> None:
    model, feeds = make_residual_cnn(tmp_path), pictures(20)
    applied = apply(LowRank, model, feeds, energy=0.5, prior=0.01, exclude=["node_block*"], **SMALL)
    (layer,) = [name for name in factored(applied.result.facts) if name == "node_stem"]

    def means(path: Path) -> Array:
        proto = onnx.load(path)
        del proto.graph.output[:]
        proto.graph.output.append(onnx.helper.make_tensor_value_info("stem", onnx.TensorProto.FLOAT, None))
        onnx.save(proto, tmp_path / "stem.onnx")
        return run(tmp_path / "stem.onnx", feeds).mean(axis=(0, 2, 3))

    assert layer == "node_stem"
    assert np.allclose(means(applied.result.model.path), means(model.path), atol=1e-4)


def test_frequent_words_keep_more_of_themselves(tmp_path: Path) -> None:
    model = make_encoder(tmp_path, blocks=1)
    table = stored(onnx.load(model.path))["words"]

    def kept(prior: float, data: Any) -> Array:
        left = stored(apply(LowRank, model, data, keep=0.85, op_types=[], embedding_prior=prior, **SMALL).proto)
        words = left["words_first"] @ left["words_second"]
        return 1 - np.square(words - table).sum(1) / np.square(table).sum(1)

    with_counts, evenly = kept(0.05, sentences(40)), kept(1.0, None)
    assert with_counts[:4].mean() > evenly[:4].mean() + 0.1
    assert with_counts[-20:].mean() < evenly[-20:].mean()


# ---------------------------------------------------------------------------------------------- ranks


@pytest.mark.parametrize(("of", "share"), [("parameters", 0.7), ("parameters", 0.45), ("macs", 0.7), ("macs", 0.6)])
def test_keep_is_met_and_used(tmp_path: Path, of: str, share: float) -> None:
    facts: Any = apply(LowRank, make_encoder(tmp_path), sentences(8), keep=share, of=of, **SMALL).result.facts
    reached = facts[of]["to"] / facts[of]["from"]
    assert share - 0.08 < reached <= share


def test_energy_takes_the_smallest_rank_that_is_enough(tmp_path: Path) -> None:
    network = Network()
    matrix = np.diag(np.geomspace(1, 1e-3, 64)).astype(np.float32)
    network.node("MatMul", ["x", network.constant("w", matrix)], "y")
    dims = {"batch": DimRange(1, 2, 4)}
    model = network.save(tmp_path / "m.onnx", {"x": ("batch", 64)}, {"y": ("batch", 64)}, dims)
    facts = apply(LowRank, model, energy=0.9, **SMALL).result.facts
    losses = of_weight(matrix).losses
    rank = factored(facts)["node_y"]["rank"]
    assert losses[rank] <= 0.1 < losses[rank - 1]
    assert factored(apply(LowRank, model, energy=0.9, min_size=1).result.facts)["node_y"]["rank"] == -(-rank // 8) * 8


def test_what_would_not_save_stays_whole(tmp_path: Path) -> None:
    model = make_encoder(tmp_path)
    applied = apply(LowRank, model, sentences(4), energy=0.99999, min_size=1)
    assert not applied.result.changed
    assert applied.result.model == model
    assert "nothing was factored" in applied.notes[0]
    left: Any = applied.result.facts["left"]
    assert set(left.values()) == {"the rank that it needs would not save enough"}


# ---------------------------------------------------------------------------------------------- refit


@pytest.mark.parametrize(("make", "samples"), [(make_encoder, sentences), (make_residual_cnn, pictures)])
def test_refitting_makes_up_for_the_layers_before(tmp_path: Path, make: Any, samples: Any) -> None:
    model, unseen = make(tmp_path), samples(20, seed=9)
    whole = run(model.path, unseen)
    options = {"keep": 0.6, "embeddings": False, "kernels": "channels", **SMALL}
    plain, refitted = (
        relative_error(run(apply(LowRank, model, samples(80), refit=refit, **options).result.model.path, unseen), whole)
        for refit in (False, True)
    )
    assert refitted < 0.9 * plain


def test_refitting_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        apply(LowRank, make_encoder(tmp_path), refit=True)
    assert caught.value.code == "calibration-missing"


# ---------------------------------------------------------------------------------------------- sharing, few samples


def test_shared_weights_are_factored_once(tmp_path: Path) -> None:
    network = Network()
    weight = network.constant("w", low_rank_matrix(np.random.default_rng(0), WIDTH, WIDTH, 2))
    stream = network.node("MatMul", ["x", weight], "m")
    network.node("MatMul", [stream, weight], "y")
    dims = {"batch": DimRange(1, 2, 4)}
    model = network.save(tmp_path / "m.onnx", {"x": ("batch", WIDTH)}, {"y": ("batch", WIDTH)}, dims)
    feeds = [{"x": np.random.default_rng(1).normal(size=(2, WIDTH)).astype(np.float32)} for _ in range(4)]
    applied = apply(LowRank, model, feeds, energy=0.999, **SMALL)
    assert sorted(stored(applied.proto)) == ["w_first", "w_second"]
    assert relative_error(run(applied.result.model.path, feeds), run(model.path, feeds)) < 1e-6


def test_one_sample_is_enough_to_go_on(tmp_path: Path) -> None:
    model = make_residual_cnn(tmp_path)
    applied = apply(LowRank, model, pictures(1), keep=0.8, **SMALL)
    assert (
        relative_error(run(applied.result.model.path, pictures(8, seed=2)), run(model.path, pictures(8, seed=2))) < 0.5
    )


# ---------------------------------------------------------------------------------------------- runtimes


@pytest.mark.parametrize(("make", "samples"), [(make_encoder, sentences), (make_residual_cnn, pictures)])
def test_openvino_computes_the_same(tmp_path: Path, make: Any, samples: Any) -> None:
    from edgetool.context import BuildContext
    from edgetool_openvino.backend import OpenVino

    result = apply(LowRank, make(tmp_path), samples(6), keep=0.6, **SMALL).result.model
    (tmp_path / "engine").mkdir()
    backend, context = OpenVino(OpenVino.Options()), BuildContext(threads=1)
    with backend.open(backend.build(result, tmp_path / "engine", context), context) as runner:
        for feed in samples(2, seed=5):
            (found,) = runner.infer(feed).values()
            assert np.allclose(found, run(result.path, [feed]), atol=1e-3)
