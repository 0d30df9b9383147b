"""Budgets: held, missed, or unverified with the reason; never held by a stand-in."""

from __future__ import annotations

import json

import pytest

from edgetool.config.schema import BudgetTable
from edgetool.errors import BudgetError, UnprovenError
from edgetool.validate.budgets import Measured, Verdict, enforce, judge
from edgetool.validate.comparison import Comparison, Score, Trial
from edgetool.validate.difference import Difference
from edgetool.validate.findings import Finding
from edgetool.validate.latency import Latency, Timing


def row(output: str = "scores", **changes: object) -> Difference:
    values = {
        "output": output, "max_abs": 0.2, "relative": 0.01, "cosine": 0.995, "cosine_worst": 0.9, "gain": 1.0,
        "sqnr_db": 20.0, "top1": 0.95, "top5": 1.0, "equal": 0.1, "integral": False,
    }  # fmt: skip
    return Difference(**{**values, **changes})  # type: ignore[arg-type]


def comparison(*rows: Difference, score: Score | None = None) -> Comparison:
    return Comparison("int8", (Trial("evaluation", "as given", 20, rows),), score, 0.0, (20, "ab"), ())


def latency(p50: float = 0.010, *, spread: float = 0.1, runs: int = 500, longest: float = 0.013) -> Latency:
    side = Timing(runs, p50, p50 * 1.1, p50 * 1.2, longest, spread)
    return Latency(side, side, 2.0, 0.1, settled=True, seconds=0.5)


def one(budget: dict, **measured: object) -> Verdict:
    (verdict,) = judge(BudgetTable(**budget), Measured(**measured))  # type: ignore[arg-type]
    json.dumps(verdict.to_json(), allow_nan=False)
    return verdict


def test_a_limit_is_reported_with_all_of_its_digits() -> None:
    """Rounded like a measurement, it would read `limit 1`."""
    verdict = one({"min_cosine": 0.9999999}, comparison=comparison(row()))
    assert verdict.to_json()["limit"] == 0.9999999


def test_no_budget_no_verdict() -> None:
    assert judge(BudgetTable(), Measured()) == ()


@pytest.mark.parametrize(
    ("budget", "status"),
    [
        ({"max_drop": "1%"}, "held"),  # 0.90 - 0.89, a little over 0.01 in binary
        ({"max_drop": "0.9%"}, "missed"),
        ({"min_metric": "89%"}, "held"),
        ({"min_metric": "90%"}, "missed"),
        ({"min_cosine": 0.99}, "held"),
        ({"min_cosine": 0.999}, "missed"),
        ({"min_sqnr_db": 15}, "held"),
        ({"min_sqnr_db": 19}, "missed"),
        ({"min_agreement": 0.95}, "held"),
        ({"min_agreement": 0.97}, "missed"),
        ({"max_abs": 0.3}, "held"),
        ({"max_abs": 0.25}, "missed"),
    ],
)
def test_accuracy_is_judged_by_the_worst_output_and_agreement_by_the_first(budget: dict, status: str) -> None:
    second = row("state", cosine=0.992, sqnr_db=18.0, max_abs=0.3, top1=0.2)
    verdict = one(budget, comparison=comparison(row(), second, score=Score("top1", 0.90, 0.89)))
    assert verdict.status == status


@pytest.mark.parametrize(
    ("limit", "status"),
    [("12ms", "held"), ("11ms", "held"), ("10.5ms", "unverified"), ("9.5ms", "unverified"), ("8ms", "missed")],
)
def test_a_latency_limit_inside_the_spread_is_unverified(limit: str, status: str) -> None:
    verdict = one({"latency_p50": limit}, latency=latency())
    assert verdict.status == status
    if status == "unverified":
        assert verdict.reason == "the limit lies inside the spread 9 ms..11 ms"
        assert "--latency-time" in str(verdict.fix)


@pytest.mark.parametrize(
    ("limit", "runs", "status"),
    [
        ("14ms", 500, "held"),
        ("14ms", 30, "unverified"),
        ("15ms", 30, "held"),
        ("10ms", 500, "missed"),
        ("10ms", 30, "unverified"),
        ("8ms", 30, "missed"),
    ],
)
def test_a_tail_told_from_few_runs_is_wide(limit: str, runs: int, status: str) -> None:
    assert one({"latency_p99": limit}, latency=latency(runs=runs)).status == status


def test_speedup() -> None:
    assert one({"min_speedup": 1.5}, latency=latency()).status == "held"
    assert one({"min_speedup": 2.0}, latency=latency()).status == "unverified"
    assert one({"min_speedup": 2.5}, latency=latency()).status == "missed"


def test_sizes_and_counts_are_exact() -> None:
    assert one({"size": "1KiB"}, size=1024).status == "held"
    assert str(one({"size": "1KiB"}, size=2048)) == "size 1.0 KiB, measured 2.0 KiB"
    assert one({"size": "1KiB"}, size=1025).status == "missed"
    assert one({"off_accelerator_nodes": 0}, off_accelerator_nodes=0).status == "held"
    assert one({"off_accelerator_nodes": 0}, off_accelerator_nodes=1).status == "missed"


def test_flash_and_ram_are_judged_like_sizes() -> None:
    assert one({"flash": "64KiB"}, flash=64 << 10).status == "held"
    assert one({"ram": "8KiB"}, ram=(8 << 10) + 1).status == "missed"
    unknown = one({"ram": "8KiB"})
    assert (unknown.status, unknown.reason) == ("unverified", "not measured")
    assert "microcontroller" in str(unknown.fix)


@pytest.mark.parametrize("name", ["latency_p50", "latency_p99", "memory"])
def test_what_ran_on_an_emulator_has_no_time(name: str) -> None:
    limit = "1GB" if name == "memory" else "1h"
    verdict = one({name: limit}, untimed="ran on an emulator")
    assert (verdict.status, verdict.reason) == ("unverified", "ran on an emulator")
    assert one({"flash": "1KiB"}, flash=1, untimed="ran on an emulator").status == "held"
    assert one({"min_cosine": 0.5}, comparison=comparison(row()), untimed="ran on an emulator").status == "held"


@pytest.mark.parametrize(
    "budget",
    [{"max_drop": "1%"}, {"latency_p99": "1s"}, {"size": "1GB"}, {"off_accelerator_nodes": 9}, {"min_cosine": 0}],
)
def test_what_was_not_measured_is_unverified_with_the_reason(budget: dict) -> None:
    assert one(budget).reason == "not measured"
    assert one(budget, why_not="device FPGA is not here").reason == "device FPGA is not here"


def test_a_stand_in_holds_nothing_but_may_miss_accuracy() -> None:
    everything = BudgetTable(
        max_drop="5%", min_cosine=0.5, latency_p50="1s", latency_p99="1us", min_speedup=99, size="1B", memory="1GB",
        off_accelerator_nodes=0,
    )  # fmt: skip
    measured = Measured(
        comparison=comparison(row(), score=Score("top1", 0.9, 0.8)),
        latency=latency(), size=4, memory=4, off_accelerator_nodes=4, stand_in="CPU",
    )  # fmt: skip
    verdicts = {verdict.name: verdict.status for verdict in judge(everything, measured)}
    assert verdicts.pop("max_drop") == "missed"
    assert set(verdicts.values()) == {"unverified"}
    assert len(verdicts) == 7


def test_integers_agree_by_equality() -> None:
    ids = row(integral=True, top1=None, equal=0.9)
    assert one({"min_agreement": 0.9}, comparison=comparison(ids)).status == "held"
    assert one({"min_cosine": 0.9}, comparison=comparison(ids)).status == "unverified"


def test_enforce_puts_failures_before_budgets_before_what_is_unproven() -> None:
    held = Verdict("size", "held", 1, 1, "bytes")
    missed = Verdict("size", "missed", 1, 2, "bytes")
    unproven = Verdict("latency_p50", "unverified", 1, None, "seconds", "not measured", "measure on the device")
    failure = Finding("failure", "drifted", "off", "scores")
    enforce((held,), (Finding("remark", "x-y", "z"),), target="ort", allow_unverified=False)
    with pytest.raises(BudgetError) as caught:
        enforce((missed, unproven), (failure,), target="ort", allow_unverified=True)
    assert caught.value.code == "validation-failed"
    with pytest.raises(BudgetError) as caught:
        enforce((missed, unproven), (), target="ort", allow_unverified=True)
    assert (caught.value.code, caught.value.exit_code) == ("budget-missed", 4)
    with pytest.raises(UnprovenError) as unproved:
        enforce((held, unproven), (), target="ort", allow_unverified=False)
    assert unproved.value.exit_code == 9
    assert str(unproved.value.hint).startswith("measure on the device; or accept")
    enforce((held, unproven), (), target="ort", allow_unverified=True)


def test_a_speedup_over_a_reference_that_cannot_run_on_the_device_is_unverified() -> None:
    side = Timing(300, 0.010, 0.011, 0.012, 0.013, 0.01)
    alone = Latency(side, None, None, None, settled=True, seconds=9.0)
    verdict = one({"min_speedup": 2.0}, latency=alone)
    assert (verdict.status, verdict.measured) == ("unverified", None)
    assert "on its device" in str(verdict.reason)
    assert "latency_p50" in str(verdict.fix)
    assert one({"latency_p50": "12ms"}, latency=alone).status == "held"
