"""Baselines: what was accepted does not fail again, what got worse fails, what got better is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgetool.errors import ConfigError
from edgetool.report.baseline import against, confirmed, read_baseline, slower_than_accepted, write_baseline
from edgetool.report.document import Check, Report, Summary
from edgetool.validate.comparison import Score
from tests.report.conftest import COMPARISON, HELD, MISSED, OPEN, measured


@pytest.fixture
def judge(tmp_path: Path) -> Callable[[Report, Report], Summary]:
    """The second report, judged by a baseline of the first."""

    def run(before: Report, now: Report) -> Summary:
        write_baseline(tmp_path / "base.json", Summary((before,)))
        return against(Summary((now,)), read_baseline(tmp_path / "base.json"), where="base.json")

    return run


Judge = Callable[[Report, Report], Summary]
Make = Callable[..., Report]


def test_the_same_again_is_no_news(make_report: Make, judge: Judge) -> None:
    found = judge(make_report(), make_report())
    assert (found.outcome, found.baseline) == ("passed", ())


def test_a_known_deviation_does_not_fail(make_report: Make, judge: Judge) -> None:
    found = judge(make_report(verdicts=(HELD, MISSED, OPEN)), make_report(verdicts=(HELD, MISSED, OPEN)))
    assert found.outcome == "known"
    assert {check.id: check.outcome for check in found.reports[0].checks} == {
        "validation": "passed", "budget/max_drop": "passed", "budget/size": "known", "budget/latency_p99": "known",
    }  # fmt: skip
    assert "known deviation: budget size" in found.baseline[0]


def test_what_is_unverified_there_and_fails_now_is_a_regression(make_report: Make, judge: Judge) -> None:
    now = replace(OPEN, status="missed", measured=0.5)
    found = judge(make_report(verdicts=(OPEN,)), make_report(verdicts=(now,)))
    assert found.outcome == "failed"
    assert "regression: budget latency_p99 was unverified" in found.baseline[0]


def test_a_new_failure_fails(make_report: Make, judge: Judge) -> None:
    found = judge(make_report(), make_report(verdicts=(HELD, MISSED)))
    assert found.outcome == "failed"


def test_what_got_better_is_said(make_report: Make, judge: Judge) -> None:
    now = make_report(verdicts=(replace(MISSED, status="held", measured=1.0),))
    found = judge(make_report(verdicts=(MISSED,)), now)
    assert found.outcome == "passed"
    assert "better: budget size was failed and passes" in found.baseline[0]


def test_a_known_deviation_stays_known_when_it_is_accepted_again(make_report: Make, judge: Judge) -> None:
    first = judge(make_report(verdicts=(MISSED,)), make_report(verdicts=(MISSED,)))
    assert judge(first.reports[0], make_report(verdicts=(MISSED,))).outcome == "known"


@pytest.mark.parametrize(
    ("changed", "check"),
    [
        ({"comparison": replace(COMPARISON, score=Score("top1", 0.9, 0.86))}, "baseline/accuracy"),
        ({"size": 7}, "baseline/size"),
        ({"latency": replace(measured(), speedup=0.8)}, "baseline/speed"),
        ({"comparison": replace(COMPARISON, trials=(replace(COMPARISON.trials[0], differences=(
            replace(COMPARISON.trials[0].differences[0], cosine=0.95),)),))}, "baseline/drift"),
    ],
)  # fmt: skip
def test_figures_that_got_worse_fail_although_every_budget_holds(
    changed: dict[str, object], check: str, make_report: Make, judge: Judge
) -> None:
    report = make_report()
    found = judge(report, replace(report, **changed))  # type: ignore[arg-type]
    assert [row.id for row in found.reports[0].checks if row.outcome == "failed"] == [check]
    assert slower_than_accepted(found.reports[0]) == (check == "baseline/speed")
    fixes = [row.fix for row in found.reports[0].checks if row.id == check]
    # More bytes or time may be the price of something; nobody loses accuracy on purpose.
    how = "where the change is meant, accept it: edgetool validate --baseline base.json --update-baseline"
    assert fixes == [how if check in ("baseline/size", "baseline/speed") else None]


@pytest.mark.parametrize(
    "changed",
    [
        {"comparison": replace(COMPARISON, score=Score("top1", 0.9, 0.871))},
        {"comparison": replace(COMPARISON, score=Score("top5", 0.9, 0.5))},
        {"latency": replace(measured(), speedup=0.88)},
        {"latency": None},
    ],
)
def test_noise_and_other_metrics_do_not(changed: dict[str, object], make_report: Make, judge: Judge) -> None:
    report = make_report()
    assert judge(report, replace(report, **changed)).outcome == "passed"  # type: ignore[arg-type]


def test_another_network_is_compared_by_its_time_on_the_same_processor(make_report: Make, judge: Judge) -> None:
    """Twice the layers make the reference twice as slow, too: their ratio says nothing."""
    before, found = make_report(), measured()
    twice = replace(found, engine=replace(found.engine, p50=2 * found.engine.p50))
    assert before.yardstick is not None
    now = replace(before, latency=twice, yardstick="another")
    report = judge(before, now).reports[0]
    (check,) = [check for check in report.checks if check.outcome == "failed"]
    assert check.id == "baseline/latency"
    assert "on a CPU: 2.00 times as long" in check.message
    assert slower_than_accepted(report)
    assert judge(before, replace(now, measured={"cpu": "another CPU"})).outcome == "passed"
    assert judge(before, replace(now, yardstick=before.yardstick)).outcome == "passed"
    assert judge(before, replace(now, latency=replace(twice, engine=replace(found.engine, p50=1.2 * found.engine.p50)))
                 ).outcome == "passed"  # fmt: skip


def test_a_second_measurement_decides(make_report: Make, judge: Judge) -> None:
    before = make_report()
    slow = judge(before, replace(before, latency=replace(measured(), speedup=0.5)))
    found = confirmed(slow, slow, seconds=2.0)
    assert found.outcome == "failed"
    (check,) = [check for check in found.reports[0].checks if check.outcome == "failed"]
    assert "confirmed: a second measurement, of 2 s, says so too" in check.message
    assert "2.00 times as long" in check.message
    assert check.fix is not None
    assert found.baseline == (f"net/ort: regression: {check.message}",)
    found = confirmed(slow, judge(before, before), seconds=2.0)
    assert found.outcome == "passed"
    assert found.baseline[0].startswith("net/ort: seemed slower at first: 1.00 times")
    assert found.baseline[0].endswith("measured again for 2 s, it is not")


def test_other_cells_are_kept_and_missing_ones_are_named(make_report: Make, tmp_path: Path) -> None:
    path, report = tmp_path / "base.json", make_report()
    write_baseline(path, Summary((report,)))
    write_baseline(path, Summary((replace(report, target="other"),)))
    assert set(read_baseline(path).cells) == {"net/ort", "net/other"}
    found = against(Summary((report,)), read_baseline(path), where="x")
    assert found.baseline == ("net/other: in the baseline, but not validated now",)


def test_new_cells_are_judged_by_their_budgets(make_report: Make, judge: Judge, tmp_path: Path) -> None:
    report = make_report()
    new = replace(report, target="new", checks=(Check("budget/size", "size", "failed", "too large"),))
    write_baseline(tmp_path / "base.json", Summary((report,)))
    found = against(Summary((report, new)), read_baseline(tmp_path / "base.json"), where="x")
    assert found.outcome == "failed"
    assert found.baseline == ("net/new: new, judged by its budgets alone",)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (None, "baseline-not-found"),
        ("not json", "baseline-invalid"),
        ("[]", "baseline-invalid"),
        ('{"schema_version": 2, "cells": {}}', "baseline-invalid"),
        ('{"schema_version": 1, "cells": {"a/b": {"checks": {"x": "green"}, "figures": {}}}}', "baseline-invalid"),
        ('{"schema_version": 1, "cells": {"a/b": {"checks": {}, "figures": {}}}}', "baseline-of-others"),
        ("[" * 100_000, "baseline-invalid"),
    ],
)  # fmt: skip
def test_files_that_are_none(text: str | None, code: str, make_report: Make, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "base.json").write_text(text)
    with pytest.raises(ConfigError) as caught:
        against(Summary((make_report(),)), read_baseline(tmp_path / "base.json"), where="x")
    assert caught.value.code == code


def test_the_file_is_sorted_for_reviews(make_report: Make, tmp_path: Path) -> None:
    path, report = tmp_path / "base.json", make_report()
    write_baseline(path, Summary((replace(report, target="b"), replace(report, target="a"))))
    assert list(json.loads(path.read_text())["cells"]) == ["net/a", "net/b"]
