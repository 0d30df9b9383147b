"""Reports out of bundles: what was written comes back, and says the same."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgetool.blame.findings import Blame, LayerBlame, LayerError
from edgetool.blame.histogram import Histogram
from edgetool.blame.recorded import read_blame
from edgetool.errors import ConfigError, IntegrityError, ModelError
from edgetool.report.collect import report_of_error
from edgetool.report.document import Report, Summary
from edgetool.validate.comparison import Trial
from edgetool.validate.recorded import comparison_from, latency_from, verdict_from
from tests.report.conftest import COMPARISON, HELD, OPEN, ROW, measured


def test_what_was_recorded_comes_back() -> None:
    document = json.loads(json.dumps(COMPARISON.to_json()))
    assert comparison_from(document, where="x") == COMPARISON
    latency = measured()
    again = latency_from(json.loads(json.dumps(latency.to_json())), where="x")
    assert again.to_json() == latency.to_json()
    assert len(again.engine.quantiles) == 21
    assert again.engine.quantiles[10] == pytest.approx(again.engine.p50, rel=1e-4)
    assert verdict_from(OPEN.to_json(), where="x") == OPEN


def test_outputs_that_do_not_differ_have_no_noise() -> None:
    exact = replace(ROW, max_abs=0.0, sqnr_db=math.inf, integral=True, top1=None, top5=None)
    found = comparison_from(replace(COMPARISON, trials=(Trial("random", "min", 1, (exact,)),)).to_json(), where="x")
    assert found.trials[0].differences == (exact,)


def test_a_report_says_what_the_build_said(make_report: Callable[..., Report]) -> None:
    report = make_report()
    assert report.title == "net 1.2.0 for ort"
    assert report.outcome == "passed"
    assert report.size == len(b"engine")
    assert {check.id: check.outcome for check in report.checks} == {"validation": "passed", "budget/max_drop": "passed"}
    assert report.comparison == COMPARISON
    assert [row.name for row in report.passes] == ["simplify", "quantize-static"]
    assert report.measured == {"cpu": "a CPU"}


def test_the_worst_check_decides(make_report: Callable[..., Report]) -> None:
    unverified = make_report(verdicts=(HELD, OPEN))
    assert unverified.outcome == "unverified"
    assert unverified.headline.startswith("budget latency_p99: nothing measured, limit 10 ms: no device")
    assert [row.prove_by for row in unverified.unproven] == ["build on the device"]
    failed = make_report(verdicts=(OPEN, replace(HELD, status="missed", measured=0.5)))
    assert failed.outcome == "failed"
    assert failed.headline == "budget max_drop: 50 %, limit 5 %"
    assert Summary((unverified, failed)).outcome == "failed"


def test_an_engine_that_did_not_run_is_unverified(make_report: Callable[..., Report]) -> None:
    report = make_report(comparison=None, verdicts=())
    assert report.outcome == "unverified"
    assert "no device" in report.headline


def test_an_error_is_a_report_too() -> None:
    error = ModelError("unsupported-operator", "NonZero has no fixed shape", where="/head/NonZero", hint="remove it")
    report = report_of_error(error, model="net", version="1", target="jetson")
    assert (report.outcome, report.checks[0].fix) == ("failed", "remove it")
    assert report.to_json()["error"] == {
        "code": "unsupported-operator", "message": "NonZero has no fixed shape", "where": "/head/NonZero",
        "hint": "remove it", "exit_code": 3,
    }  # fmt: skip


def test_all_of_it_is_json(make_report: Callable[..., Report]) -> None:
    document = json.loads(json.dumps(Summary((make_report(),)).to_json(), allow_nan=False))
    assert document["outcome"] == "passed"
    assert document["schema_version"] == 1


def test_blame_comes_back(tmp_path: Path) -> None:
    histogram = Histogram(-1.0, 1.0, (1, 2, 3), 0.5, 1.0)
    exact = LayerError(math.inf, None, math.inf, None, 1.0)
    rows = (
        LayerBlame("/a", "Conv", "t", LayerError(20.0, 30.0, 18.0, 15.0, 0.99), "weights", "fix", histogram, None),
        LayerBlame("/b", "Relu", "u", exact, "none", "nothing to do"),
    )
    blame = Blame(rows, 4, 12.5, 1)
    (tmp_path / "blame.json").write_text('{"event": "step"}\n' + json.dumps({"event": "result", **blame.to_json()}))
    assert read_blame(tmp_path / "blame.json") == blame


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"layers": [1]}', "nonsense"])
def test_what_is_no_blame(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "blame.json").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_blame(tmp_path / "blame.json")
    assert caught.value.code == "blame-invalid"


@pytest.mark.parametrize("broken", [{"precision": "int8"}, {**COMPARISON.to_json(), "trials": [1]}])
def test_a_report_that_is_none_is_an_integrity_error(broken: dict[str, object]) -> None:
    with pytest.raises(IntegrityError) as caught:
        comparison_from(broken, where="bundle")
    assert caught.value.code == "report-invalid"
