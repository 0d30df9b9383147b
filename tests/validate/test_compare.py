"""Engines that are right pass; each way of being wrong is a failure of its own, and what is not proven is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgetool.config.schema import BudgetTable
from edgetool.errors import ConfigError, ModelError
from edgetool.runner import Feeds, Runner
from edgetool.signature import DimRange, Signature
from edgetool.validate.compare import compare
from edgetool.validate.comparison import Comparison
from edgetool.validate.data import Dataset, open_dataset
from edgetool.validate.metrics import open_metric
from edgetool.validate.shapes import shapes, stretched
from edgetool_onnxruntime.reference import open_onnx

from .runners import SIGNATURE, Bent, reference, write_network  # noqa: TID252 # tests are no package to import from


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    generator = np.random.default_rng(0)
    folder = tmp_path / "eval"
    folder.mkdir()
    with reference(tmp_path) as runner:
        for i in range(12):
            x = generator.normal(size=(1, 3 + i % 6, 6)).astype(np.float32)
            label = runner.infer({"x": x})["scores"].argmax(axis=1)
            np.savez(folder / f"{i:02}.npz", x=x, label=label)
    return open_dataset("eval", root=tmp_path, signature=SIGNATURE)


def judged(tmp_path: Path, engine: Runner, data: Dataset | None, **options: object) -> Comparison:
    options = {"precision": "float32", **options}
    return compare(reference(tmp_path), engine, signature=SIGNATURE, data=data, **options)


def codes(comparison: Comparison) -> set[str]:
    return {finding.code for finding in comparison.findings}


def test_the_same_network_passes(tmp_path: Path, data: Dataset) -> None:
    metric = open_metric("top1", root=tmp_path)
    found = judged(tmp_path, reference(tmp_path), data, metric=metric)
    assert found.status == "passed"
    assert found.findings == ()
    assert found.deterministic
    assert found.score is not None
    assert (found.score.reference, found.score.engine, found.score.drop) == (1.0, 1.0, 0.0)
    assert [trial.origin for trial in found.trials[:2]] == ["evaluation", "stretched"]
    assert found.trials[0].feeds == 12
    json.dumps(found.to_json(), allow_nan=False)


def test_without_data_it_is_unverified_and_random_is_called_random(tmp_path: Path) -> None:
    found = judged(tmp_path, reference(tmp_path), None)
    assert found.status == "unverified"
    assert codes(found) == {"no-real-data"}
    assert {trial.origin for trial in found.trials} == {"random"}
    assert found.real is None


def test_all_ends_of_the_ranges_and_several_seeds_are_run(tmp_path: Path) -> None:
    seen: set[tuple[int, ...]] = set()

    def spy(feeds: Feeds, outputs: dict) -> dict:
        seen.add(feeds["x"].shape)
        return outputs

    found = judged(tmp_path, Bent(reference(tmp_path), spy), None)
    assert seen == {(1, 3, 6), (2, 5, 6), (5, 9, 6), (5, 3, 6), (1, 9, 6)}
    assert sum(trial.shape.startswith("opt") for trial in found.trials) == 2


def test_a_frozen_dimension_is_caught_with_and_without_data(tmp_path: Path, data: Dataset) -> None:
    frozen = open_onnx(write_network(tmp_path / "frozen.onnx", frozen_time=5), 1)
    for samples in (data, None):
        found = judged(tmp_path, frozen, samples)
        assert found.status == "failed"
        assert "drifted" in codes(found)
        failing = [str(finding.where) for finding in found.findings if finding.code == "drifted"]
        assert any("time=9" in where for where in failing)
        assert not any("opt (batch=2, time=5)" in where for where in failing)


def test_a_fixed_batch_is_caught(tmp_path: Path, data: Dataset) -> None:
    fixed = open_onnx(write_network(tmp_path / "fixed.onnx", batch=1), 1)
    found = judged(tmp_path, fixed, data)
    failures = [finding for finding in found.findings if finding.code == "engine-failed"]
    assert any("batch=5" in str(finding.where) for finding in failures)
    assert not any("npz" in str(finding.where) for finding in failures)


@pytest.mark.parametrize(
    ("bend", "code"),
    [
        (lambda _, out: {}, "missing-output"),
        (lambda _, out: {"scores": out["scores"][:, :3]}, "wrong-shape"),
        (lambda _, out: {"scores": out["scores"].astype(np.float64)}, "wrong-dtype"),
        (lambda _, out: {"scores": np.where(out["scores"] > 0, np.nan, out["scores"])}, "not-finite"),
        (lambda _, out: {"scores": out["scores"] + 0.1}, "drifted"),
        (lambda _, out: {"scores": out["scores"] + np.random.normal(size=4).astype("f")}, "nondeterministic"),
        (lambda _, out: 1 / 0, "engine-failed"),
    ],
)
def test_every_way_of_being_wrong_has_its_name(tmp_path: Path, data: Dataset, bend: object, code: str) -> None:
    found = judged(tmp_path, Bent(reference(tmp_path), bend), data)  # type: ignore[arg-type]
    assert found.status == "failed"
    assert code in codes(found)
    same_kind = [f for f in found.findings if f.code == code and "npz" in str(f.where)]
    assert len(same_kind) <= 1, "one finding for all samples, not one a sample"


def test_state_that_leaks_from_one_run_into_the_next_is_nondeterminism(tmp_path: Path, data: Dataset) -> None:
    state = [0.0]

    def leak(feeds: Feeds, outputs: dict) -> dict:
        before, state[0] = state[0], float(feeds["x"].sum())
        return {"scores": outputs["scores"] + np.float32(before)}

    assert "nondeterministic" in codes(
        judged(tmp_path, Bent(reference(tmp_path), leak), data, budget=BudgetTable(max_abs=1e9))
    )


def test_noise_below_tolerance_is_reported_but_no_failure(tmp_path: Path, data: Dataset) -> None:
    generator = np.random.default_rng(0)

    def jitter(_: Feeds, outputs: dict) -> dict:
        return {"scores": outputs["scores"] + generator.normal(size=4).astype("f") * np.float32(1e-6)}

    found = judged(tmp_path, Bent(reference(tmp_path), jitter), data)
    assert found.status == "passed"
    assert not found.deterministic
    assert 0 < found.repeat_difference < 1e-5


def coarse(_: Feeds, outputs: dict) -> dict:
    """Steps of 1: cosine about 0.95 on these scores."""
    return {"scores": np.round(outputs["scores"])}


def test_a_quantized_engine_is_judged_by_its_precision_or_by_the_declared_budgets(
    tmp_path: Path, data: Dataset
) -> None:
    engine = Bent(reference(tmp_path), coarse)
    by_default = judged(tmp_path, engine, data, precision="int8")
    assert by_default.status == "failed"
    assert "int8 wants cosine >= 0.99" in str(by_default.findings[0])
    by_budget = judged(tmp_path, engine, data, precision="int8", budget=BudgetTable(min_agreement=0.5))
    assert by_budget.status == "passed"
    only_size = judged(tmp_path, engine, data, precision="int8", budget=BudgetTable(size="1MB"))
    assert only_size.status == "failed"


def test_a_quantized_engine_that_breaks_at_one_shape_only_is_caught_under_a_budget(
    tmp_path: Path, data: Dataset
) -> None:
    def breaks(feeds: Feeds, outputs: dict) -> dict:
        scores = np.round(outputs["scores"])
        scores[2:] = scores[2:, ::-1]
        return {"scores": scores}

    found = judged(tmp_path, Bent(reference(tmp_path), breaks), data, precision="int8", budget=BudgetTable(max_drop=1))
    assert found.status == "failed"
    assert all("batch=5" in str(finding.where) for finding in found.findings)


def test_random_feeds_do_not_condemn_the_numbers_of_a_quantized_engine(tmp_path: Path) -> None:
    found = judged(tmp_path, Bent(reference(tmp_path), coarse), None, precision="int8")
    assert codes(found) == {"no-real-data"}


def test_a_metric_that_needs_labels(tmp_path: Path, data: Dataset) -> None:
    (tmp_path / "plain").mkdir()
    np.savez(tmp_path / "plain" / "a.npz", x=np.random.default_rng(0).normal(size=(1, 4, 6)))
    plain = open_dataset("plain", root=tmp_path, signature=SIGNATURE)
    with pytest.raises(ConfigError) as caught:
        judged(tmp_path, reference(tmp_path), plain, metric=open_metric("top1", root=tmp_path))
    assert caught.value.code == "metric-needs-labels"


def test_a_reference_that_fails_on_a_sample_is_not_the_engines_fault(tmp_path: Path, data: Dataset) -> None:
    broken = Bent(reference(tmp_path), lambda feeds, out: 1 / 0)  # type: ignore[arg-type, return-value]
    with pytest.raises(ModelError) as caught:
        compare(broken, reference(tmp_path), signature=SIGNATURE, precision="float32", data=data)
    assert caught.value.code == "reference-failed"
    assert str(caught.value.where).endswith("00.npz")


def test_a_shape_that_the_reference_refuses_is_unproven(tmp_path: Path, data: Dataset) -> None:
    fixed = open_onnx(write_network(tmp_path / "fixed.onnx", batch=1), 1)
    found = compare(fixed, reference(tmp_path), signature=SIGNATURE, precision="float32", data=data)
    assert found.status == "unverified"
    assert "shape-not-proven" in codes(found)


def test_stretching_keeps_samples_together_and_batches_them() -> None:
    text = Signature(
        inputs=tuple(
            type(spec)(name, "int64", ("b", "s"))
            for name, spec in (("ids", SIGNATURE.inputs[0]), ("mask", SIGNATURE.inputs[0]))
        ),
        outputs=(),
        dims={"b": DimRange(1, 1, 3), "s": DimRange(1, 1, 8)},
    )
    samples = [{"ids": np.full((1, n), n), "mask": np.full((1, n), -n)} for n in (4, 6, 7)]
    largest = next(shape for shape in shapes(text) if shape.name == "max")
    feeds = stretched(samples, text, largest, seed=0)
    assert feeds["ids"].shape == feeds["mask"].shape == (3, 8)
    assert sorted(feeds["ids"][:, 0].tolist()) == [4, 6, 7]
    np.testing.assert_array_equal(feeds["ids"], -feeds["mask"])


def test_shapes_are_not_repeated() -> None:
    static = Signature(SIGNATURE.inputs, SIGNATURE.outputs, {"batch": DimRange(1, 1, 1), "time": DimRange(4, 4, 4)})
    assert [shape.name for shape in shapes(static)] == ["opt"]
    assert [shape.name for shape in shapes(Signature(SIGNATURE.inputs, SIGNATURE.outputs))] == ["opt"]


def test_the_report_is_the_same_byte_for_byte(tmp_path: Path, data: Dataset) -> None:
    texts = {
        json.dumps(
            judged(tmp_path, Bent(reference(tmp_path), coarse), data, precision="int8").to_json(), sort_keys=True
        )
        for _ in range(2)
    }
    assert len(texts) == 1
