"""What the search chooses, what it tries first, and since when it would have answered that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from edgetool.config.result import ResolvedTarget
from edgetool.config.schema import BudgetTable
from edgetool.engine.measurements import Measurement
from edgetool.search.answers import Answers
from edgetool.search.clock import OutOfTime
from edgetool.search.limits import Limits
from edgetool.search.pick import Picker, pareto
from edgetool.search.point import Point, Trial
from edgetool.search.recipe import Recipe, Step
from edgetool.search.split import split
from edgetool.search.strategy import Strategy
from edgetool.search.workbench import Workbench
from edgetool.validate.budgets import Measured
from edgetool.validate.comparison import Comparison, Score
from edgetool.validate.latency import Latency, Timing

HALVES = split(100, limit=400)


FOLDS = split(10, limit=400)


def _point(name: str, milliseconds: float, drops: dict[str, float], *, spread: float = 0.01, size: int = 1000) -> Point:
    timing = Timing(100, milliseconds / 1e3, milliseconds / 1e3, milliseconds / 1e3, milliseconds / 1e3, spread)
    reference = Timing(100, 0.01, 0.01, 0.01, 0.01, 0.01)
    latency = Latency(timing, reference, 10 / milliseconds, spread, True, 1.0)
    steps = (Step("simplify", {}), *([] if name == "float" else [Step(name, {})]))
    comparisons = {
        group: Comparison("int8", (), Score("top1", 0.9, 0.9 - drop), 0.0, None, ()) for group, drop in drops.items()
    }
    trial = Trial(
        engine=name,
        precision="float32" if name == "float" else "int8",
        size=size,
        comparisons=comparisons,
        measurement=Measurement(latency, 10**8, 0.0),
        measured=Measured(size=size, latency=latency),
    )
    return Point(Recipe(steps, None if name == "float" else 1), trial)


def _halves(chosen_by: float, judged_by: float) -> dict[str, float]:
    return {"chosen-by": chosen_by, "judged-by": judged_by}


def _picker(**budget: float) -> Picker:
    return Picker(Limits(BudgetTable.model_construct(None, **budget), HALVES), "latency")


def test_the_fastest_that_holds_is_chosen() -> None:
    points = [
        _point("float", 10, _halves(0, 0)),
        _point("slow", 6, _halves(0, 0)),
        _point("fast", 3, _halves(0.005, 0.005)),
        _point("wrong", 2, _halves(0.02, 0)),
    ]
    pick = _picker(max_drop=0.01).pick(points)
    assert pick.chosen is points[2]
    assert (pick.pays, pick.looks) == (True, 1)
    reasons = {row.point.name: (row.status, row.reason) for row in pick.standings}
    assert reasons["wrong"] == ("rejected", "missed max_drop 1 %, measured 2 %")
    assert reasons["slow"][0] == reasons["float"][0] == "holds"
    assert "0.50x" in reasons["slow"][1]


def test_a_recipe_that_loses_on_the_other_samples_is_rejected_for_that() -> None:
    points = [
        _point("float", 10, _halves(0, 0)),
        _point("lucky", 3, _halves(0.0, 0.05)),
        _point("sound", 4, _halves(0.005, 0.005)),
    ]
    pick = _picker(max_drop=0.01).pick(points)
    assert pick.chosen is points[2]
    assert pick.looks == 2
    lucky = next(row for row in pick.standings if row.point.name == "lucky")
    assert lucky.status == "rejected"
    assert "not on the others" in lucky.reason


def test_what_does_not_pay_beyond_doubt_leaves_float() -> None:
    points = [_point("float", 10, _halves(0, 0)), _point("noisy", 8, _halves(0, 0), spread=0.4)]
    pick = _picker(max_drop=0.01).pick(points)
    assert pick.chosen is points[0]
    assert not pick.pays


def test_taking_turns_settles_what_separate_measurements_cannot() -> None:
    points = [_point("float", 10, _halves(0, 0), spread=0.4), _point("int8", 5, _halves(0, 0), spread=0.4)]
    picker = _picker(max_drop=0.01)
    assert picker.pick(points).chosen is points[0]
    settled = replace(picker, duels={(points[1].recipe.key, points[0].recipe.key): (1.9, 0.1)})
    assert settled.pick(points).chosen is points[1]
    assert settled.gain(points[0], points[1]) == (1 / 1.9, 0.1)
    slower = replace(picker, duels={(points[1].recipe.key, points[0].recipe.key): (0.9, 0.02)})
    assert slower.pick(points).chosen is points[0]


class _Turns:
    """A bench whose points are there already, and whose duels tell the truth."""

    def __init__(self, points: list[Point], *, truth: float) -> None:
        self.points = points
        self.duels: dict[tuple[str, str], tuple[float, float]] = {}
        self._truth = truth

    def duel(self, one: Point, other: Point, *, longer: int) -> None:
        self.duels[one.recipe.key, other.recipe.key] = self._truth, 0.02


@pytest.mark.parametrize(("truth", "expected"), [(1.3, "fast"), (1.0, "careful")])
def test_what_looks_fastest_and_what_is_most_accurate_take_turns(truth: float, expected: str) -> None:
    """On a busy machine, measurements one after the other tell nothing apart."""
    points = [
        _point("float", 10, _halves(0, 0), spread=0.1),
        _point("careful", 4.0, _halves(0.001, 0.001), spread=0.4),
        _point("fast", 3.1, _halves(0.009, 0.009), spread=0.4),
    ]
    bench = _Turns(points, truth=truth)
    picker = replace(_picker(max_drop=0.01), duels=bench.duels)
    assert picker.pick(points).chosen is points[1]
    target = SimpleNamespace(passes=(), candidates=(), facts={})
    Strategy(cast(Workbench, bench), picker, cast(ResolvedTarget, target), ())._tell_apart()
    chosen = picker.pick(points).chosen
    assert chosen is not None
    assert chosen.name == expected


def test_of_those_that_are_as_fast_the_most_accurate_is_chosen() -> None:
    points = [
        _point("float", 10, _halves(0, 0)),
        _point("coarse", 3.00, _halves(0.009, 0)),
        _point("fine", 3.02, _halves(0.001, 0)),
    ]
    assert _picker(max_drop=0.01).pick(points).chosen is points[2]


def test_none_is_chosen_where_none_holds() -> None:
    points = [_point("float", 10, _halves(0, 0), size=5000), _point("int8", 3, _halves(0.5, 0.5), size=900)]
    pick = _picker(max_drop=0.01, size=1000).pick(points)
    assert pick.chosen is None
    assert all(row.status == "rejected" for row in pick.standings)


def test_with_few_samples_the_choosing_itself_is_judged() -> None:
    """In each fold another recipe looks good on the rest and fails on the fold: no single recipe was ever that bad."""
    groups = FOLDS.groups
    drops = []
    for bad in (0, 1):
        rows = {}
        for group, parts in groups.items():
            per_part = [0.2 if part % 2 == bad else 0.0 for part in parts]
            rows[group] = sum(per_part) / len(per_part) - 0.1 * (group == "chosen-by")
        drops.append(rows)
    points = [_point("float", 10, dict.fromkeys(groups, 0.0))]
    points += [_point(f"net{at}", 3, rows) for at, rows in enumerate(drops)]
    picker = Picker(Limits(BudgetTable.model_construct(None, max_drop=0.13), FOLDS), "latency")
    verdicts = picker.judge(points, points[1])
    judged = next(row for row in verdicts if row.name == "max_drop")
    assert judged.measured is not None
    chosen = picker.limits.verdicts(points[1].trial, "chosen-by")[0]  # type: ignore[arg-type]  # it has a trial
    assert chosen.measured is not None
    assert judged.measured > chosen.measured, "out of fold it is worse than where it was chosen"


def test_the_front_has_only_what_nothing_beats() -> None:
    points = [
        _point("float", 10, _halves(0, 0)),
        _point("dominated", 6, _halves(0.01, 0)),
        _point("good", 5, _halves(0.004, 0)),
        _point("bold", 2, _halves(0.3, 0)),
    ]
    assert [row.name for row in pareto(points, "latency")] == ["bold", "good", "float"]


class _Asked:
    """A bench that only tells of operators, and notes which recipes come first."""

    def __init__(self, operators: set[str]) -> None:
        self.points: list[Point] = []
        self._operators = frozenset(operators)

    def operators(self, recipe: Recipe) -> frozenset[str]:
        assert recipe.main is None, "nothing is compressed to find that out"
        return self._operators

    def try_all(self, recipes: Sequence[Recipe]) -> list[Point]:
        self.points = [Point(recipe) for recipe in recipes]
        raise OutOfTime


@pytest.mark.parametrize(
    ("operators", "objective", "first"),
    [
        ({"MatMul", "Softmax"}, "latency", "quantize-static, attention_scores = true, attention_values = true"),
        ({"Conv", "GlobalAveragePool"}, "latency", "quantize-static, pools = true"),
        ({"Conv"}, "latency", "quantize-static"),
        (set(), "latency", "quantize-static"),
        ({"MatMul", "Softmax"}, "size", "float"),
    ],
)
def test_what_usually_wins_on_such_a_network_goes_first(operators: set[str], objective: str, first: str) -> None:
    bench = _Asked(operators)
    target = SimpleNamespace(passes=(), candidates=(), facts={})
    picker = Picker(Limits(BudgetTable.model_construct(None, max_drop=0.01), HALVES), objective)  # type: ignore[arg-type]  # one of three
    passes = {"quantize-static", "quantize-weights"}
    with pytest.raises(OutOfTime):
        Strategy(cast(Workbench, bench), picker, cast(ResolvedTarget, target), passes).run()
    assert bench.points[0].name == first
    assert bench.points[-1].name == "float", "it goes along, so that what pays is known"


def test_answers_say_since_when_each_would_have_been_given() -> None:
    fast, slow = _point("fast", 3, _halves(0, 0)), _point("slow", 6, _halves(0, 0))
    answers = Answers()
    for seconds, chosen in ((1.0, None), (2.0, slow), (3.0, slow), (4.0, fast), (9.0, fast)):
        answers.note(seconds, chosen)
    assert [(row.seconds, row.point) for row in answers.rows] == [(1.0, None), (2.0, slow), (4.0, fast)]
    assert answers.rows[0].to_json() == {"seconds": 1.0, "chosen": None, "passes": None}
