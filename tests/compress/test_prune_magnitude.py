"""`prune-magnitude`: the zeros that were asked for, where they were asked for, and the right ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pydantic
import pytest
from onnx import numpy_helper

from edgetool.artifact import Model
from edgetool.context import PassContext
from edgetool.errors import ConfigError
from edgetool.passes.base import PassResult
from edgetool.runner import Runner
from edgetool.testing import PassConformance, tiny_branches, tiny_cnn, tiny_int8_cnn, tiny_lstm, tiny_mlp
from edgetool.testing.samples import GivenSamples
from edgetool_onnxruntime.reference import open_onnx
from edgetool_passes.prune_magnitude import PruneMagnitude
from edgetool_passes.pruning.masks import shares
from edgetool_passes.pruning.sparse_regression import prune_rows
from tests.compress.prune_networks import Array, Feed, Net, attention, chain, feeds_for, grouped, pictures


def prune(model: Model, samples: Sequence[Feed] | None = None, **options: Any) -> PassResult:
    workdir = model.path.parent / f"work{len(list(model.path.parent.glob('work*')))}"
    workdir.mkdir()
    context = PassContext(
        threads=1,
        open_reference=lambda path: open_onnx(path, 1),
        calibration=None if samples is None else GivenSamples(samples),
    )
    return PruneMagnitude(PruneMagnitude.Options(**{"min_size": 1, **options})).apply(model, workdir, context)


def weights(result: PassResult) -> dict[str, Array]:
    stored = onnx.load(result.model.path).graph.initializer
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in stored if tensor.name.endswith("_w")}


def zeros(values: Array) -> float:
    return float((values == 0).mean())


class _InOnnxRuntime(PassConformance):
    __test__ = False

    def open_reference(self, path: Path) -> Runner:
        return open_onnx(path, 1)


class TestPruneMagnitude(_InOnnxRuntime):
    __test__ = True
    pass_class = PruneMagnitude
    options: ClassVar[dict[str, Any]] = {"min_size": 1, "importance": "magnitude"}
    models = (tiny_mlp, tiny_cnn, tiny_lstm, tiny_branches)
    refused = (tiny_int8_cnn,)
    min_cosine = 0.5
    samples = 0


class TestSparseRegression(_InOnnxRuntime):
    __test__ = True
    pass_class = PruneMagnitude
    options: ClassVar[dict[str, Any]] = {"min_size": 1, "sparsity": 0.3}
    models = (tiny_mlp, tiny_cnn)
    min_cosine = 0.7
    samples = 8


class TestTwoOfFour(_InOnnxRuntime):
    __test__ = True
    pass_class = PruneMagnitude
    options: ClassVar[dict[str, Any]] = {"min_size": 1, "pattern": "2:4"}
    models = (tiny_cnn,)
    min_cosine = 0.7
    samples = 8


@pytest.mark.parametrize("importance", ["magnitude", "activation", "reconstruction"])
def test_every_layer_gets_its_share(importance: str, tmp_path: Path) -> None:
    result = prune(chain().save(tmp_path), pictures(), sparsity=0.6, importance=importance)
    found = weights(result)
    assert {name: round(zeros(values), 1) for name, values in found.items()} == dict.fromkeys(found, 0.6)
    facts = result.facts
    total = sum(values.size for values in found.values())
    assert facts["weights"] == total
    assert facts["nonzero"] == sum(int(np.count_nonzero(values)) for values in found.values())
    assert facts["sparsity"] == pytest.approx(0.6, abs=0.02)
    bits = -(0.6 * np.log2(0.6) + 0.4 * np.log2(0.4))
    assert facts["estimated_compressed_bytes"] == pytest.approx(total * (0.4 * 4 + bits / 8), rel=0.03)


def test_the_smallest_weights_go(tmp_path: Path) -> None:
    model = chain().save(tmp_path)
    before = weights(PassResult(model, changed=False))["second_w"]
    after = weights(prune(model, sparsity=0.5, importance="magnitude"))["second_w"]
    threshold = np.median(np.abs(before))
    np.testing.assert_array_equal(after, np.where(np.abs(before) < threshold, 0, before))


def test_global_shares_spare_layers_that_need_their_small_weights(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    even, spiky = np.ones((20, 50)), chance.normal(size=(20, 50)) ** 5
    found = shares({"even": even, "spiky": spiky}, sparsity=0.5, everywhere=False)  # type: ignore[dict-item]
    assert found["spiky"] > 0.6 > 0.4 > found["even"]  # type: ignore[index]
    result = prune(chain().save(tmp_path), sparsity=0.7, scope="global", importance="magnitude")
    assert result.facts["sparsity"] == pytest.approx(0.7, abs=0.01)
    assert len({round(zeros(values), 2) for values in weights(result).values()}) > 1


@pytest.mark.parametrize("importance", ["magnitude", "activation", "reconstruction"])
def test_two_of_every_four_input_channels_go(importance: str, tmp_path: Path) -> None:
    """Of a convolution at each kernel position, of a product along the rows; layers that do not divide keep all."""
    result = prune(chain().save(tmp_path), pictures(), pattern="2:4", importance=importance)
    found = weights(result)
    runs = found["second_w"].reshape(10, 3, 4, 9)  # outputs, runs of 4 input channels, kernel positions
    assert ((runs == 0).sum(axis=2) == 2).all()
    assert ((found["hidden_w"].reshape(40, 4, 14) == 0).sum(axis=1) == 2).all()
    assert (found["first_w"] != 0).all()
    assert result.facts["kept"] == {
        "first": "its input channels are no multiple of 4",
        "y": "its input channels are no multiple of 4",
    }


def test_groups_are_judged_by_their_own_inputs(tmp_path: Path) -> None:
    result = prune(grouped().save(tmp_path), pictures(), sparsity=0.5, importance="reconstruction")
    assert zeros(weights(result)["groups_w"]) == pytest.approx(0.5, abs=0.02)


def test_sparse_regression_against_brute_force() -> None:
    """With one weight to remove per row the first choice is Hassibi and Stork's, and the rest is least squares."""
    chance = np.random.default_rng(0)
    x = chance.normal(size=(500, 4)) @ chance.normal(size=(4, 4))
    weight = chance.normal(size=(1, 4))
    found = prune_rows(weight, x.T @ x / 500, share=0.25)[0]
    gone = int(np.flatnonzero(found == 0)[0])
    later = [column for column in range(4) if column > gone]
    wanted = weight[0].copy()
    wanted[gone] = 0
    change = np.linalg.lstsq(x[:, later], x[:, [gone]] @ weight[0, [gone]], rcond=None)[0] if later else np.zeros(0)
    wanted[later] += change
    np.testing.assert_allclose(found, wanted, atol=0.05)
    assert (found == 0).sum() == 1


@pytest.mark.parametrize("make", [chain, attention], ids=lambda make: make.__name__)
def test_making_up_for_zeros_beats_magnitude(make: Any, tmp_path: Path) -> None:
    """Judged on samples that were not looked at."""
    net: Net = make()
    model = net.save(tmp_path)
    feeds = feeds_for(net, 48)

    def outputs(path: Path) -> Array:
        with open_onnx(path, 1) as runner:
            return np.concatenate([runner.infer(feed)["y"] for feed in feeds[40:]])

    expected = outputs(model.path)
    errors = {
        importance: np.square(
            outputs(prune(model, feeds[:40], sparsity=0.5, importance=importance).model.path) - expected
        ).mean()
        for importance in ("magnitude", "reconstruction")
    }
    assert errors["reconstruction"] < 0.7 * errors["magnitude"]


def test_small_and_excluded_layers_keep_their_weights(tmp_path: Path) -> None:
    result = prune(chain().save(tmp_path), importance="magnitude", min_size=500, exclude=("hid*",))
    found = weights(result)
    assert {name for name, values in found.items() if zeros(values) > 0} == {"second_w"}
    assert result.facts["kept"] == {
        "first": "fewer than min_size = 500 weights",
        "hidden": "excluded by the recipe",
        "y": "fewer than min_size = 500 weights",
    }


def test_every_number_but_zero_transposes(tmp_path: Path) -> None:
    """So the operator has it; the rows of the weight are its outputs for 7 as for 1."""
    made = tiny_cnn(tmp_path)
    results = []
    for number in (1, 7):
        loaded = onnx.load(made.path)
        (head,) = (node for node in loaded.graph.node if node.op_type == "Gemm")
        (flag,) = (part for part in head.attribute if part.name == "transB")
        flag.i = number
        onnx.save(loaded, made.path)
        stored = onnx.load(prune(made, sparsity=0.5, importance="magnitude").model.path).graph.initializer
        results += [numpy_helper.to_array(tensor) for tensor in stored if tensor.name == "head"]
    np.testing.assert_array_equal(*results)
    assert zeros(results[1]) == 0.5


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    once = prune(chain().save(tmp_path), importance="magnitude")
    twice = prune(once.model, importance="magnitude")
    assert (once.changed, twice.changed) == (True, False)
    assert twice.model == once.model


def test_nothing_large_enough_is_refused(tmp_path: Path) -> None:
    options = PruneMagnitude.Options(min_size=10**6)
    (problem,) = PruneMagnitude(options).check(chain().save(tmp_path))
    assert problem.severity == "refuse"
    assert "min_size = 1000000" in problem.reason


def test_data_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        prune(chain().save(tmp_path), importance="reconstruction")
    assert caught.value.code == "calibration-missing"


@pytest.mark.parametrize("options", [{"sparsity": 1}, {"sparsity": 0}, {"pattern": "1:4"}, {"min_size": 0}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        PruneMagnitude.Options(**options)
