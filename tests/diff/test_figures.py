"""What counts as better, worse, breaking, or as noise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgetool.diff.compare import compare_bundles
from edgetool.diff.rows import BundleDifference, Row
from tests.provenance.built import edited, forge, remeasured


def row(found: BundleDifference, name: str) -> Row:
    rows = [row for section in found.sections for row in section.rows if row.name == name]
    assert len(rows) == 1, [row.name for section in found.sections for row in section.rows]
    return rows[0]


def manifest(bundle: Path, change: Callable[[Any], object]) -> Path:
    return forge(bundle, {"manifest.json": edited(change)})


def timed(bundle: Path, **times: float) -> Path:
    """Give a bundle's engine other times, in seconds."""

    def change(measured: Any) -> None:
        base = {"p50_s": 1e-3, "p90_s": 1.1e-3, "p99_s": 1.2e-3, "longest_s": 1.3e-3, "spread": 0.02, "runs": 500}
        measured["latency"]["engine"] = {**base, **times}
        measured["latency"] |= {"speedup": None, "speedup_spread": None}

    return remeasured(bundle, change)


def test_equal_bundles_are_equal(old: Path, new: Path) -> None:
    found = compare_bundles(old, new)
    assert found.equal
    assert list(found.rows("better", "worse", "changed", "breaking")) == []
    assert found.failures("any") == ()
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("p50", "spread", "change"),
    [(1.03e-3, 0.02, "noise"), (1.2e-3, 0.02, "worse"), (0.8e-3, 0.02, "better"), (1.2e-3, 0.5, "noise")],
)
def test_a_latency_is_worse_only_beyond_the_scatter_of_both(
    old: Path, new: Path, p50: float, spread: float, change: str
) -> None:
    timed(old)
    timed(new, p50_s=p50, spread=spread)
    found = row(compare_bundles(old, new), "p50")
    assert found.change == change
    assert found.note == ("within noise" if change == "noise" else "")
    assert found.values == (1e-3, p50)


def test_one_slow_run_is_no_regression(old: Path, new: Path) -> None:
    timed(old)
    timed(new, p99_s=9e-3, longest_s=20e-3)
    found = compare_bundles(old, new)
    assert row(found, "p99").change == "noise"
    assert found.failures("regression") == ()


def test_times_of_two_machines_do_not_compare(old: Path, new: Path) -> None:
    timed(old)
    timed(new, p50_s=9e-3)
    remeasured(new, lambda measured: measured["host"].update(cpu="another", threads=64))
    found = row(compare_bundles(old, new), "p50")
    assert found.change == "changed"
    assert "not comparable" in found.note
    assert "another, 64 threads" in found.note


def test_a_latency_of_one_side_only_is_said(old: Path, new: Path) -> None:
    remeasured(new, lambda measured: measured.update(latency=None))
    found = row(compare_bundles(old, new), "p50")
    assert (found.new, found.note) == ("-", "measured of one only")


def score(engine: float) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        document["comparison"]["score"] = {"metric": "top1", "reference": 0.9, "engine": engine, "drop": 0.9 - engine}

    return change


@pytest.mark.parametrize(("engine", "change"), [(0.88, "worse"), (0.89, "same"), (0.9, "better")])
def test_a_metric_is_judged_on_equal_data(old: Path, new: Path, engine: float, change: str) -> None:
    forge(old, {"reports/validation.json": edited(score(0.89))})
    forge(new, {"reports/validation.json": edited(score(engine))})
    assert row(compare_bundles(old, new), "top1").change == change


def test_a_metric_on_other_data_is_not_judged(old: Path, new: Path) -> None:
    forge(old, {"reports/validation.json": edited(score(0.89))})
    forge(new, {"reports/validation.json": edited(score(0.5))})
    manifest(new, lambda document: document["evaluation"].update(digest="0" * 64))
    found = compare_bundles(old, new)
    assert row(found, "top1").change == "changed"
    assert any("different evaluation data" in text for text in found.warnings)


@pytest.mark.parametrize(("sqnr", "change"), [(-3.0, "worse"), (-0.5, "changed"), (0.0, "same"), (3.0, "better")])
def test_drift_is_judged_by_its_noise(old: Path, new: Path, sqnr: float, change: str) -> None:
    def noisier(document: Any) -> None:
        document["validation"]["outputs"][0]["sqnr_db"] += sqnr

    manifest(new, noisier)
    assert row(compare_bundles(old, new), "y: drift from float").change == change


def test_golden_outputs_are_compared_with_each_other(old: Path, new: Path) -> None:
    forge(new, {"io/case0-output0.bin": lambda data: (np.frombuffer(data, "<f4") * 1.01).astype("<f4").tobytes()})
    found = row(compare_bundles(old, new), "y: golden output, old against new")
    assert found.change == "changed"
    assert "cosine 1.000000" in found.new
    forge(new, {"io/case0-input0.bin": lambda data: data[::-1]})
    found = row(compare_bundles(old, new), "golden outputs, old against new")
    assert found.note == "the golden inputs of the two are not equal"


def test_a_larger_engine_is_worse(old: Path, new: Path) -> None:
    forge(new, {"model/model.onnx": lambda data: data + bytes(len(data))})
    found = row(compare_bundles(old, new), "engine")
    assert (found.change, found.note) == ("worse", "+100.0%")
    forge(new, {"model/model.onnx": lambda data: data[: len(data) // 2 + 1]})
    assert row(compare_bundles(old, new), "engine").change == "changed"


def test_nodes_that_fall_off_the_accelerator_are_named(old: Path, new: Path) -> None:
    def fallen(report: Any) -> None:
        report["placement"]["off_accelerator_nodes"] = 2
        report["placement"]["off_accelerator"] = [
            {"node": f"conv{index}", "op_type": "Conv", "device": "CPU", "reason": "too wide"} for index in range(2)
        ]

    forge(new, {"reports/validation.json": edited(fallen)})
    found = row(compare_bundles(old, new), "nodes")
    assert found.change == "worse"
    assert found.note == "conv0 (too wide); conv1 (too wide)"
    assert row(compare_bundles(new, old), "nodes").change == "better"


def signature(change: Callable[[Any], object]) -> Callable[[Any], object]:
    return lambda document: change(document["signature"])


@pytest.mark.parametrize(
    ("change", "name", "wanted"),
    [
        (lambda s: s["inputs"][0].update(name="z"), "input x", "breaking"),
        (lambda s: s["inputs"][0].update(dtype="uint8"), "input x", "breaking"),
        (lambda s: s["inputs"][0].update(shape=[1, 3, 8, 8]), "input x", "breaking"),
        (lambda s: s["outputs"].clear(), "output y", "breaking"),
        (lambda s: s["outputs"].append({"name": "more", "dtype": "float32", "shape": [1]}), "output more", "changed"),
        (lambda s: s["inputs"].append({"name": "more", "dtype": "float32", "shape": [1]}), "input more", "breaking"),
        (lambda s: s["dims"]["batch"].update(max=2), "size of batch", "breaking"),
        (lambda s: s["dims"]["batch"].update(max=9), "size of batch", "changed"),
    ],
)  # fmt: skip
def test_a_caller_must_change_or_not(
    old: Path, new: Path, change: Callable[[Any], object], name: str, wanted: str
) -> None:
    manifest(new, signature(change))
    found = compare_bundles(old, new)
    assert row(found, name).change == wanted
    assert bool(found.failures("signature")) == (wanted == "breaking")


def test_another_order_breaks_those_who_count(old: Path, new: Path) -> None:
    more = {"name": "more", "dtype": "float32", "shape": [1]}
    manifest(old, signature(lambda s: s["outputs"].append(more)))
    manifest(new, signature(lambda s: s["outputs"].insert(0, more)))
    found = row(compare_bundles(old, new), "order of outputs")
    assert (found.old, found.new, found.change) == ("y, more", "more, y", "breaking")


def test_another_preprocessing_breaks_callers(old: Path, new: Path) -> None:
    manifest(new, lambda document: document.update(preprocessing={"crop": 224}))
    assert row(compare_bundles(old, new), "preprocessing crop").change == "breaking"


def test_a_budget_that_is_missed_now_is_worse(old: Path, new: Path) -> None:
    def missed(document: Any) -> None:
        document["verdicts"][0]["status"] = "missed"

    manifest(new, missed)
    found = row(compare_bundles(old, new), "min_cosine")
    assert found.change == "worse"
    assert found.new.startswith("missed: 0.9")


def test_a_budget_of_the_moment_counts_too(old: Path, new: Path) -> None:
    verdict = {"name": "latency_p50", "status": "held", "limit": 0.01, "measured": 0.001, "unit": "seconds"}
    remeasured(old, lambda measured: measured["verdicts"].append(verdict))
    remeasured(new, lambda measured: measured["verdicts"].append({**verdict, "status": "unverified"}))
    found = row(compare_bundles(old, new), "latency_p50")
    assert (found.change, found.new) == ("worse", "unverified: 1 ms, limit 10 ms")


def test_validation_that_did_not_run_is_worse_and_says_why(old: Path, new: Path) -> None:
    manifest(new, lambda document: document.update(validation={"status": "unverified", "why_not": "no board"}))
    found = compare_bundles(old, new)
    assert (row(found, "validation").change, row(found, "validation").note) == ("worse", "no board")
    assert any("did not run" in text for text in found.warnings)


def test_options_tools_and_target_are_shown(old: Path, new: Path) -> None:
    def other(document: Any) -> None:
        document["tools"]["onnxruntime"] = "9.9"
        document["passes"][1]["options"]["per_channel"] = False
        document["target"]["facts"] = {"isa": ["avx2"]}
        document["target"]["compatibility"] = "onnxruntime=9.9"
        document["lowerings"] = []

    manifest(new, other)
    found = compare_bundles(old, new)
    assert row(found, "onnxruntime").new == "9.9"
    assert row(found, "quantize-static.per_channel").new == "false"
    assert row(found, "isa").new == '["avx2"]'
    assert row(found, "compatibility").note == "devices compare this word"
    assert row(found, "lowering full-range").new == "-"
    assert found.failures("regression") == ()
    assert len(found.failures("any")) >= 5


def test_other_models_and_targets_are_warned_of(old: Path, new: Path) -> None:
    manifest(new, lambda document: document.update(name="other"))
    manifest(new, lambda document: document["target"].update(name="board"))
    assert compare_bundles(old, new).warnings[:2] == (
        "these are bundles of different models: tiny and other",
        "these are bundles for different targets: ort and board",
    )


def test_reports_without_figures_are_read(old: Path, new: Path) -> None:
    """As an engine has them that was never run."""
    for bundle in (old, new):
        forge(bundle, {"reports/validation.json": edited(lambda report: {"schema_version": 1, "comparison": None})})
        remeasured(bundle, lambda measured: measured.update(latency=None, host=None))
    assert compare_bundles(old, new).equal
