"""`prune-channels` as a user meets it: how much goes, what it costs, what stays, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pydantic
import pytest
from onnx import numpy_helper

from edgetool.artifact import Engine, Model
from edgetool.backends.base import AnyBackend
from edgetool.context import BuildContext, PassContext
from edgetool.errors import ConfigError, ModelError
from edgetool.graph import load
from edgetool.graph.macs import count_macs
from edgetool.graph.shapes import infer_shapes
from edgetool.passes.base import PassResult
from edgetool.runner import Runner
from edgetool.testing import (
    PassConformance,
    tiny_branches,
    tiny_cnn,
    tiny_int8_cnn,
    tiny_lstm,
    tiny_mlp,
)
from edgetool.testing.samples import GivenSamples
from edgetool_onnxruntime.backend import OnnxRuntime
from edgetool_onnxruntime.reference import open_onnx
from edgetool_openvino.backend import OpenVino
from edgetool_passes.prune_channels import PruneChannels
from tests.compress.prune_networks import (
    MAKERS,
    Array,
    Feed,
    Net,
    attention,
    chain,
    feeds_for,
    pictures,
    residual,
    shared,
)


@dataclass
class Applied:
    """A result, and what the user was told meanwhile."""

    result: PassResult
    notes: list[str] = field(default_factory=list)

    @property
    def proto(self) -> onnx.ModelProto:
        return onnx.load(self.result.model.path)


def prune(model: Model, samples: Sequence[Feed] | None = None, **options: Any) -> Applied:
    """Apply the pass as the framework does, into a new folder beside the model."""
    workdir = model.path.parent / f"work{len(list(model.path.parent.glob('work*')))}"
    workdir.mkdir()
    applied = Applied(PassResult(model, changed=False))
    context = PassContext(
        threads=1,
        open_reference=lambda path: open_onnx(path, 1),
        calibration=None if samples is None else GivenSamples(samples),
        note=applied.notes.append,
    )
    applied.result = PruneChannels(PruneChannels.Options(**options)).apply(model, workdir, context)
    return applied


def widths(applied: Applied) -> dict[str, int]:
    """Output channels of every convolution and Gemm, by name of its weight."""
    return {tensor.name: tensor.dims[0] for tensor in applied.proto.graph.initializer if tensor.name.endswith("_w")}


def outputs(model: Model, feeds: Sequence[Feed]) -> Array:
    with open_onnx(model.path, 1) as runner:
        return np.concatenate([runner.infer(feed)["y"] for feed in feeds])


def relative_error(model: Model, pruned: Model, feeds: Sequence[Feed]) -> float:
    expected, actual = outputs(model, feeds), outputs(pruned, feeds)
    return float(np.square(actual - expected).sum() / np.square(expected - expected.mean(0)).sum())


class _InOnnxRuntime(PassConformance):
    __test__ = False

    def open_reference(self, path: Path) -> Runner:
        return open_onnx(path, 1)


class TestPruneChannels(_InOnnxRuntime):
    __test__ = True
    pass_class = PruneChannels
    options: ClassVar[dict[str, Any]] = {"amount": 0.3}
    models = (tiny_mlp, tiny_cnn)
    refused = (tiny_lstm, tiny_int8_cnn, tiny_branches)
    min_cosine = None
    samples = 8


class TestPruneChannelsWithoutData(_InOnnxRuntime):
    __test__ = True
    pass_class = PruneChannels
    options: ClassVar[dict[str, Any]] = {"amount": 0.3, "importance": "l1"}
    models = (tiny_mlp, tiny_cnn)
    min_cosine = None
    samples = 0


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("importance", ["l2", "reconstruction"])
def test_the_multiply_accumulates_that_were_asked_for_go(
    make: Callable[[], Net], importance: str, tmp_path: Path
) -> None:
    net = make()
    model = net.save(tmp_path)
    applied = prune(model, feeds_for(net), amount=0.25, importance=importance, min_channels=1)
    counted = {}
    for name, path in (("from", model.path), ("to", applied.result.model.path)):
        onnx.checker.check_model(str(path), full_check=True)
        counted[name] = count_macs(infer_shapes(load(path), model.signature.input_shapes("opt"))).value
    assert applied.result.facts["macs"] == counted
    steps = 0.5  # one unit of these small networks is a good part of it
    assert counted["to"] <= counted["from"] * (1 - 0.25) * 1.01
    assert counted["to"] >= counted["from"] * (1 - 0.25 - steps)
    assert applied.result.model.signature.outputs == model.signature.outputs
    assert np.isfinite(outputs(applied.result.model, feeds_for(net, 1))).all()


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("backend", [OnnxRuntime(OnnxRuntime.Options()), OpenVino(OpenVino.Options())])
def test_both_runtimes_agree_about_the_result(make: Callable[[], Net], backend: AnyBackend, tmp_path: Path) -> None:
    net = make()
    pruned = prune(net.save(tmp_path), amount=0.3, importance="l1", min_channels=1).result.model
    context = BuildContext(threads=1)
    folder = tmp_path / "engine"
    folder.mkdir()
    engine: Engine = backend.build(pruned, folder, context)
    feed = feeds_for(net, 1)[0]
    feed = {"x": feed["x"][:2]}
    with backend.open(engine, context) as runner:
        actual = runner.infer(feed)["y"]
    expected = outputs(pruned, [feed])
    np.testing.assert_allclose(actual, expected, atol=2e-3 * float(np.abs(expected).max()))


@pytest.mark.parametrize("make", [chain, residual, attention], ids=lambda make: make.__name__)
def test_fitting_the_rest_makes_up_for_most_of_the_loss(make: Callable[[], Net], tmp_path: Path) -> None:
    """Judged on samples that were not fitted on."""
    net = make()
    model = net.save(tmp_path)
    feeds = feeds_for(net, 48)
    errors = {
        fitted: relative_error(
            model, prune(model, feeds[:40], amount=0.25, importance="l2", reconstruct=fitted).result.model, feeds[40:]
        )
        for fitted in (False, True)
    }
    assert errors[True] < 0.6 * errors[False]


def test_a_channel_that_repeats_another_costs_nothing(tmp_path: Path) -> None:
    """Only the reconstruction sees it: both copies are as large as all others, and both are read."""
    net = chain()
    sizes = np.sqrt(np.square(net.stored["first_w"]).sum(axis=(1, 2, 3), keepdims=True))
    net.stored["first_w"] = (net.stored["first_w"] / sizes).astype(np.float32)
    net.stored["norm_scale"] = np.sign(net.stored["norm_scale"])
    for name in ("first_w", "first_b", "norm_scale", "norm_shift", "norm_mean", "norm_variance"):
        net.stored[name][7] = net.stored[name][2]
        net.stored[name][9] = net.stored[name][4]
    model = net.save(tmp_path)
    feeds = pictures(40)
    keep_others = {"exclude": ("second", "hidden"), "scope": "layer", "amount": 2 / 12}
    chosen = {name: prune(model, feeds, importance=name, **keep_others) for name in ("reconstruction", "l2")}
    assert widths(chosen["reconstruction"])["first_w"] == 10
    errors = {name: relative_error(model, one.result.model, pictures(8, seed=1)) for name, one in chosen.items()}
    assert errors["reconstruction"] < 0.2 * errors["l2"]


def test_the_smallest_filters_go_by_norm(tmp_path: Path) -> None:
    model = chain().save(tmp_path)
    before = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(model.path).graph.initializer}
    applied = prune(model, importance="l1", scope="layer", amount=0.25, exclude=("hidden",))
    after = {tensor.name: numpy_helper.to_array(tensor) for tensor in applied.proto.graph.initializer}
    norms = np.abs(before["first_w"]).reshape(12, -1).sum(1)
    kept = np.sort(np.argsort(norms)[3:])
    np.testing.assert_array_equal(after["first_w"], before["first_w"][kept])
    np.testing.assert_array_equal(after["norm_mean"], before["norm_mean"][kept])
    assert after["second_w"].shape == (8, 9, 3, 3)  # a quarter of 10 is 2


def test_the_smallest_scales_go_by_batch_norm(tmp_path: Path) -> None:
    model = chain().save(tmp_path)
    scale = numpy_helper.to_array(
        next(tensor for tensor in onnx.load(model.path).graph.initializer if tensor.name == "norm_scale")
    )
    applied = prune(model, importance="bn-scale", scope="layer", amount=0.5)
    left = next(tensor for tensor in applied.proto.graph.initializer if tensor.name == "norm_scale")
    np.testing.assert_array_equal(numpy_helper.to_array(left), scale[np.sort(np.argsort(np.abs(scale))[6:])])
    assert widths(applied)["second_w"] == 10, "layers without BatchNormalization keep their channels"


def test_bn_scale_without_batch_norm_is_refused(tmp_path: Path) -> None:
    (problem,) = PruneChannels(PruneChannels.Options(importance="bn-scale")).check(residual().save(tmp_path))
    assert problem.severity == "refuse"
    assert "`simplify`" in (problem.fix or "")


def test_channels_are_rounded(tmp_path: Path) -> None:
    applied = prune(residual().save(tmp_path), amount=0.3, importance="l2", round_to=4, min_channels=1)
    found = widths(applied)
    assert {found[name] % 4 for name in ("stem_w", "a_wide_w", "b_wide_w")} == {0}
    assert found["a_wide_w"] == found["a_deep_w"] < 16


def test_guards_hold(tmp_path: Path) -> None:
    model = residual().save(tmp_path)
    applied = prune(model, amount=0.95, importance="l2", min_channels=6, max_layer=0.5)
    found = widths(applied)
    assert found["stem_w"] == 6
    assert found["a_wide_w"] == found["b_wide_w"] == 8
    assert any("could go" in note for note in applied.notes)


def test_excluded_layers_keep_their_channels(tmp_path: Path) -> None:
    applied = prune(residual().save(tmp_path), amount=0.3, importance="l2", exclude=("a_*",))
    found = widths(applied)
    assert (found["a_wide_w"], found["a_thin_w"], found["stem_w"]) == (16, 8, 8)
    assert found["b_wide_w"] < 16
    kept = applied.result.facts["kept"]
    assert isinstance(kept, dict)
    assert kept["a_wide"] == "excluded by the recipe"


def test_heads_go_whole(tmp_path: Path) -> None:
    applied = prune(attention().save(tmp_path), amount=0.34, scope="layer", importance="l2", min_channels=1)
    shapes = {tensor.name: list(tensor.dims) for tensor in applied.proto.graph.initializer}
    assert shapes["query_w"] == shapes["key_w"] == shapes["value_w"] == [12, 8]
    assert shapes["out_w"] == [8, 12]
    kept = prune(attention().save(tmp_path), amount=0.34, scope="layer", importance="l2", heads=False)
    assert widths(kept)["query_w"] == 12


def test_a_share_of_all_channels(tmp_path: Path) -> None:
    applied = prune(residual().save(tmp_path), amount=0.25, scope="channels", importance="l2")
    assert applied.result.facts["removed_units"] == 10  # of 8 + 16 + 16


def test_shared_weights_are_cut_but_not_fitted(tmp_path: Path) -> None:
    net = shared()
    applied = prune(net.save(tmp_path), feeds_for(net), amount=0.25)
    assert widths(applied)["body_w"] < 8
    assert any("calibration" in key for key in applied.result.facts)
    assert np.isfinite(outputs(applied.result.model, feeds_for(net, 1))).all()


def test_one_sample_of_one_picture_is_enough_to_work(tmp_path: Path) -> None:
    model = chain().save(tmp_path)
    applied = prune(model, pictures(1, batch=1), amount=0.25)
    assert any("one calibration feed" in note for note in applied.notes)
    unfitted = prune(model, pictures(1, batch=1), amount=0.25, reconstruct=False)
    errors = [relative_error(model, one.result.model, pictures(8, seed=1)) for one in (applied, unfitted)]
    assert errors[0] < 1.1 * errors[1]


def test_without_data_the_loss_is_said(tmp_path: Path) -> None:
    applied = prune(chain().save(tmp_path), amount=0.25)
    assert applied.result.facts["importance"] == "l2"
    assert any("no calibration data" in note for note in applied.notes)


def test_nothing_to_gain_changes_nothing(tmp_path: Path) -> None:
    model = residual().save(tmp_path)
    applied = prune(model, amount=0.2, importance="l2", min_channels=64)
    assert not applied.result.changed
    assert applied.result.model == model


def test_nan_in_the_samples_is_refused(tmp_path: Path) -> None:
    feeds = [{"x": feed["x"].copy()} for feed in pictures(3)]
    feeds[1]["x"][0, 0, 0, 0] = np.nan
    with pytest.raises(ConfigError) as caught:
        prune(chain().save(tmp_path), feeds, amount=0.25)
    assert caught.value.code == "calibration-not-finite"
    assert "sample 1" in caught.value.message


@pytest.mark.parametrize(("samples", "code"), [(None, "calibration-missing"), ((), "calibration-empty")])
def test_data_that_was_asked_for_must_be_there(samples: Sequence[Feed] | None, code: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        prune(chain().save(tmp_path), samples, importance="activation")
    assert caught.value.code == code


def test_activations_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    net = chain()
    net.stored["norm_variance"][3] = -1
    with pytest.raises(ModelError) as caught:
        prune(net.save(tmp_path), pictures(2), amount=0.25)
    assert caught.value.code == "non-finite-activation"


def test_weights_that_are_inputs_stay(tmp_path: Path) -> None:
    model = chain().save(tmp_path)
    proto = onnx.load(model.path)
    proto.graph.input.append(onnx.helper.make_tensor_value_info("second_w", onnx.TensorProto.FLOAT, (10, 12, 3, 3)))
    onnx.save(proto, model.path)
    problems = PruneChannels(PruneChannels.Options()).check(model)
    assert all(problem.severity == "warn" for problem in problems)
    applied = prune(model, amount=0.05, importance="l2")
    assert widths(applied)["first_w"] == 12
    assert widths(applied)["second_w"] == 10


@pytest.mark.parametrize(
    "options",
    [{"amount": 0}, {"amount": 1}, {"round_to": 0}, {"min_channels": 0}, {"scope": "all"}, {"max_layer": 1}, {"x": 1}],
)
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        PruneChannels.Options(**options)
