"""Which candidate is the best, from figures that are made up: no engine is built here."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgetool.backends import Availability
from edgetool.engine.assess import Assessment, Attempt
from edgetool.engine.backend import BuiltEngine, Verdict
from edgetool.engine.measurements import Measurement
from edgetool.engine.outcome import Candidate, Proof
from edgetool.engine.planned import PlannedBackend
from edgetool.engine.prepare import ModelState, Prepared
from edgetool.engine.ranking import Contender, rank, ratio
from edgetool.engine.standing import Choice, choice_from_json, standing_lines
from edgetool.errors import HostError, ModelError
from edgetool.signature import Signature
from edgetool.validate import budgets
from edgetool.validate.comparison import Comparison, Score
from edgetool.validate.findings import Finding
from edgetool.validate.latency import Latency, Timing

MISSED = budgets.Verdict("latency_p50", "missed", 0.001, 0.002, "seconds")
TOO_LARGE = budgets.Verdict("size", "missed", 10, 20, "bytes")
DOUBTFUL = budgets.Verdict("latency_p99", "unverified", 0.001, 0.001, "seconds", "the limit lies inside the spread")
BROKEN = Finding("failure", "drifted", "the outputs drifted")
EMPTY = Signature((), ())


def timed(p50: float, *, spread: float = 0.01, reference: float | None = None) -> Latency:
    side = Timing(100, p50, p50, p50, p50, spread)
    if reference is None:
        return Latency(side, None, None, None, settled=True, seconds=0.5)
    other = Timing(100, reference, reference, reference, reference, 0.5)
    return Latency(side, other, reference / p50, 0.05, settled=True, seconds=0.5)


def contender(
    name: str,
    p50: float | None = None,
    *,
    size: int = 1000,
    drop: float = 0.0,
    verdicts: tuple[budgets.Verdict, ...] = (),
    findings: tuple[Finding, ...] = (),
    spread: float = 0.01,
    stand_in: str | None = None,
    unfused: tuple[str, ...] = (),
    digest: str | None = None,
) -> Contender:
    precision = "int8" if "int8" in name else name
    backend = PlannedBackend(
        "b", "m:C", 1, {}, "p 1", {}, availability=Availability(True, True, "1", stand_in=stand_in)
    )
    model = ModelState(Path("m.onnx"), EMPTY, "d")
    engine = BuiltEngine(backend, Path(), "e", precision, EMPTY, (), {}, digest or name)
    measurement = Measurement(timed(p50, spread=spread), 0, 0.0) if p50 else None
    comparison = Comparison(precision, (), Score("top1", 0.9, 0.9 - drop), 0.0, None, findings)
    attempt = Attempt(
        plan=None,  # type: ignore[arg-type] # ranking does not look at it
        candidate=Candidate(Prepared(model, model, (), {}, "s", None), Verdict("CPU", (), (), None), engine, ()),
        proof=Proof(comparison, {"unfused": list(unfused)}, None, measurement, None),
        assessment=Assessment(size, verdicts, findings, ()),
    )
    return Contender(name, ("simplify",), attempt)


def ranked(*contenders: Contender) -> Choice:
    best, choice = rank(contenders)
    assert best.name == choice.name
    return choice


def statuses(choice: Choice) -> list[str]:
    return [row.status for row in choice.standings]


def test_the_fastest_wins() -> None:
    choice = ranked(contender("float32", 0.004), contender("float16", 0.002), contender("int8", 0.001, size=2000))
    assert (choice.name, choice.by, choice.headline) == ("int8", "speed", None)
    assert statuses(choice) == ["passed over", "passed over", "chosen"]
    assert choice.moments["float32"].remark == "0.25x int8's speed"
    assert choice.standings[0].reason == "no faster than int8"


def test_int8_that_is_slower_is_said_so_with_what_is_to_blame() -> None:
    choice = ranked(contender("float16", 0.004), contender("int8", 0.005, size=10, unfused=("conv1",)))
    assert choice.name == "float16"
    assert choice.headline == "int8 is slower here: 0.80x float16's speed"
    assert choice.moments["int8"].remark == "0.80x float16's speed; quantized nodes that run in float: conv1"


def test_int8_has_to_pay_for_its_loss() -> None:
    """Smaller and a little faster, but within what the measurement scatters."""
    choice = ranked(contender("float16", 0.00400), contender("int8", 0.00396, size=10))
    assert choice.name == "float16"
    assert choice.headline == "int8 is no faster here, as far as was measured: 1.01x (±2%) float16's speed"
    assert choice.undecided


def test_floats_that_are_equally_fast_are_told_apart_by_size_then_by_accuracy() -> None:
    choice = ranked(contender("float32", 0.001, size=2000), contender("float16", 0.00101, size=1000))
    assert (choice.name, choice.headline) == ("float16", None)
    choice = ranked(contender("float16", 0.001, drop=0.01), contender("bfloat16", 0.001, drop=0.001))
    assert choice.name == "bfloat16"


def test_a_difference_that_the_spread_covers_is_none() -> None:
    assert ranked(contender("float32", 0.001, size=2000), contender("float16", 0.00115, spread=0.2)).name == "float16"
    assert ranked(contender("float32", 0.001, size=2000), contender("float16", 0.00115)).name == "float32"


def test_a_noisy_float_neither_saves_float_nor_wins_by_its_noise() -> None:
    """float32 cannot be told from the others; float16 can be told from int8."""
    noisy = contender("float32", 0.00072, size=1200, spread=0.19)
    choice = ranked(noisy, contender("float16", 0.00074, size=600), contender("int8", 0.00058, size=700))
    assert choice.name == "int8"


def test_what_misses_a_budget_or_fails_is_out_however_fast() -> None:
    choice = ranked(
        contender("float32", 0.004),
        contender("float16", 0.003, verdicts=(MISSED,)),
        contender("int8", 0.001, findings=(BROKEN,)),
    )
    assert (choice.name, choice.by) == ("float32", "only one left")
    assert statuses(choice) == ["chosen", "rejected", "rejected"]
    assert choice.headline is None, "int8 was not slower, but wrong"
    assert choice.standings[1].reason == "missed latency_p50", "no figure of the moment"
    assert "measured 2 ms" in (choice.moments["float16"].remark or "")
    assert choice.standings[2].reason == "the outputs drifted"


def test_where_all_miss_the_one_with_the_fewest_faults_stands_for_the_failure() -> None:
    choice = ranked(
        contender("float32", 0.001, verdicts=(MISSED, TOO_LARGE)),
        contender("float16", 0.004, verdicts=(TOO_LARGE,)),
        contender("int8", 0.003, findings=(BROKEN,)),
    )
    assert (choice.name, choice.by) == ("float16", "fewest faults")
    assert statuses(choice) == ["rejected"] * 3
    assert "size" in str(choice.standings[1].reason)


def test_what_is_proven_comes_before_what_is_faster() -> None:
    choice = ranked(contender("float16", 0.002), contender("int8", 0.001, verdicts=(DOUBTFUL,)))
    assert (choice.name, choice.by) == ("float16", "only one proven")
    assert choice.standings[1].reason == "unverified here, and float16 is not"
    assert choice.moments["int8"].remark == "2.00x float16's speed, but unverified here"


def test_where_nothing_is_measured_the_smallest_wins_and_that_is_open() -> None:
    choice = ranked(contender("float32", size=30), contender("float16", size=20), contender("int8", size=25))
    assert (choice.name, choice.by) == ("float16", "size")
    assert [row.code for row in choice.unproven] == ["chosen-by-size"]


def test_a_stand_ins_speed_decides_nothing() -> None:
    choice = ranked(
        contender("float32", 0.001, size=30, stand_in="a CPU"), contender("int8", 0.009, size=10, stand_in="a CPU")
    )
    assert (choice.name, choice.by, choice.headline) == ("int8", "size", None)


def test_refused_and_left_out_candidates_are_listed_with_their_reason() -> None:
    refused = Contender("float16", ("cast-fp16",), error=ModelError("model-refused", "no half precision here"))
    limit = Contender("big", ("simplify",), error=HostError("step-killed", "killed for want of memory"))
    left_out = Contender("int8", ("quantize-static",), left_out="no calibration data")
    choice = ranked(contender("float32", 0.001), refused, limit, left_out)
    assert statuses(choice) == ["chosen", "refused", "refused", "left out"]
    assert [row.reason for row in choice.standings[1:]] == [
        "no half precision here", "killed for want of memory", "no calibration data"
    ]  # fmt: skip
    (finding,) = choice.unproven
    assert finding.code == "candidate-not-tried"
    assert finding.message.startswith("big could not be tried")
    lines = standing_lines(choice)
    assert [line.split()[0] for line in lines] == ["float32", "float16", "big", "int8"]


def test_the_same_engine_twice_is_no_second_candidate() -> None:
    choice = ranked(contender("float32", 0.001, digest="x"), contender("float16", 0.001, digest="x"))
    assert choice.name == "float32"
    assert choice.moments["float16"].remark == "the same engine as float32"
    assert not choice.undecided


def test_a_machine_that_got_busier_in_between_counts_as_doubt() -> None:
    quiet, busy = timed(0.001, reference=0.002), timed(0.0016, reference=0.0032)
    value, doubt = ratio(busy, quiet)
    assert value == pytest.approx(1.0), "its reference was as much slower"
    assert doubt == pytest.approx(0.1)
    steady = timed(0.0016, reference=0.002)
    assert ratio(steady, quiet) == pytest.approx((0.625, 0.02)), "the times themselves scatter less than the ratios"


def test_the_choice_comes_back_from_the_lock() -> None:
    choice = ranked(contender("float32", 0.001), contender("int8", size=5, verdicts=(TOO_LARGE,)))
    again = choice_from_json(choice.to_json())
    assert again.locked
    assert again.to_json() == choice.to_json()
    assert "0.001" not in str(choice.to_json())
