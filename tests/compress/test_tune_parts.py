"""The parts of the search that need no engine: split, scores of groups, bisection, choice, moves, recipes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from edgetool.config.result import ResolvedTarget
from edgetool.config.schema import BudgetTable
from edgetool.engine.measurements import Measurement
from edgetool.search.answers import Answers
from edgetool.search.clock import Clock, OutOfTime
from edgetool.search.journal import Journal, Noted
from edgetool.search.limits import Limits
from edgetool.search.moves import STARTS, TWEAKS
from edgetool.search.pick import Picker, pareto
from edgetool.search.point import Point, Trial
from edgetool.search.recipe import Recipe, Step
from edgetool.search.split import FEW, split
from edgetool.search.strategy import Strategy, fewest, offered
from edgetool.search.task import _Kept, _scores
from edgetool.search.workbench import Workbench
from edgetool.validate.budgets import Measured
from edgetool.validate.comparison import Comparison, Score
from edgetool.validate.latency import Latency, Timing
from edgetool.validate.metrics import Metric

# ------------------------------------------------------------------------------------------------------------- split


@pytest.mark.parametrize("total", [2, 3, 4, 7, 19, 49, 50, 51, 200, 1000])
def test_every_sample_is_in_one_part_and_every_part_has_some(total: int) -> None:
    found = split(total, limit=400)
    places = sorted(itertools.chain.from_iterable(found.parts))
    assert len(places) == len(set(places)) == min(total, 400)
    assert all(found.parts)
    assert found.kind == ("halves" if total >= FEW else "folds")


@pytest.mark.parametrize("total", [10, 60])
def test_no_sample_both_chooses_and_judges(total: int) -> None:
    found = split(total, limit=400)
    judges: list[int] = []
    for choose, judge in found.rounds:
        inside = {place for part in found.groups[choose] for place in found.parts[part]}
        held = {place for part in found.groups[judge] for place in found.parts[part]}
        assert not inside & held
        judges += held
    assert len(judges) == len(set(judges))
    if found.kind == "folds":
        assert set(judges) == set(range(total))


def test_samples_sorted_by_class_come_into_both_halves() -> None:
    classes = np.repeat(np.arange(10), 20)
    found = split(200, limit=400)
    for part in found.parts:
        assert set(classes[list(part)]) == set(range(10))


def test_neighbours_stay_together() -> None:
    """Ten views of a photo are in one half."""
    found = split(200, limit=400)
    photos = [{place // 10 for place in part} for part in found.parts]
    assert not photos[0] & photos[1]


def test_a_limit_takes_samples_from_everywhere() -> None:
    found = split(10_000, limit=100)
    places = sorted(itertools.chain.from_iterable(found.parts))
    assert (len(places), places[0], places[-1]) == (100, 0, 9900)
    assert "100 of 10000" in str(found)


# ------------------------------------------------------------------------------------------------------------ scores


def _kept(reference: Sequence[float], engine: Sequence[float], labels: Sequence[object], parts: Sequence[int]) -> _Kept:
    def rows(values: Sequence[float]) -> list[dict[str, np.ndarray]]:
        return [{"y": np.array([value])} for value in values]

    return _Kept(rows(reference), rows(engine), list(labels), list(parts))  # type: ignore[arg-type]  # lists will do


def _accuracy(outputs: Sequence[dict[str, np.ndarray]], labels: Sequence[object]) -> float:
    return float(np.mean([float(row["y"][0]) == label for row, label in zip(outputs, labels, strict=True)]))


def test_the_drop_of_a_group_is_that_of_its_own_samples_for_a_mean() -> None:
    labels = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    kept = _kept([1, 2, 3, 4, 5, 0], [1, 0, 0, 4, 5, 0], labels, [0, 0, 0, 1, 1, 1])
    found = _scores(Metric("own", _accuracy, needs_labels=True), kept, {"a": (0,), "b": (1,), "all": (0, 1)})
    assert found["a"].drop == pytest.approx(2 / 3)
    assert found["b"].drop == pytest.approx(0)
    assert found["all"].drop == pytest.approx(2 / 6)
    assert found["all"].reference == pytest.approx(5 / 6)


def test_a_metric_over_all_samples_together_is_never_asked_about_some() -> None:
    asked = []

    def correlation(outputs: Sequence[dict[str, np.ndarray]], labels: Sequence[object]) -> float:
        asked.append(len(outputs))
        return float(np.corrcoef([float(row["y"][0]) for row in outputs], np.array(labels, float))[0, 1])

    generator = np.random.default_rng(0)
    labels = generator.normal(size=40)
    reference = labels + generator.normal(size=40) * 0.3
    engine = reference + generator.normal(size=40) * 0.05
    kept = _kept(reference, engine, labels, [0, 1] * 20)
    found = _scores(Metric("own", correlation, needs_labels=True), kept, {"a": (0,), "b": (1,), "all": (0, 1)})
    assert set(asked) == {40}
    mean = (found["a"].drop + found["b"].drop) / 2
    assert mean == pytest.approx(found["all"].drop, abs=2e-3), "to first order the halves add up to the whole"


# --------------------------------------------------------------------------------------------------------- bisection


@pytest.mark.parametrize("needed", range(1, 60))
def test_few_questions_find_how_many_layers_have_to_stay_float(needed: int) -> None:
    asked = []

    def holds(counts: Sequence[int]) -> list[bool]:
        asked.extend(counts)
        return [count >= needed for count in counts]

    found = fewest(holds, most=60)
    assert found is not None
    assert needed <= found <= max(needed + 1, needed * 4 / 3)
    assert len(asked) <= 9
    assert len(set(asked)) == len(asked)


def test_layers_that_never_suffice() -> None:
    asked = []

    def holds(counts: Sequence[int]) -> list[bool]:
        asked.extend(counts)
        return [False] * len(counts)

    assert fewest(holds, most=26) is None
    assert asked == [2, 4, 8, 16, 26]
    assert fewest(holds, most=0) is None


# ------------------------------------------------------------------------------------------------------------- moves


def test_moves_speak_of_options_that_the_passes_have() -> None:
    from edgetool.passes.base import Pass
    from edgetool.plugin.loading import load_class
    from edgetool.plugin.manager import load_plugins

    passes = load_plugins().passes
    rows = [(row.use, {**row.options, **more}) for row in STARTS for more in ({}, *row.bolder)]
    rows += [(row.use, dict(row.options)) for row in TWEAKS]
    for use, options in rows:
        if use in passes:
            load_class(passes[use], Pass).Options.model_validate(dict(options))
    assert {"quantize-static", "quantize-dynamic"} <= {row.use for row in STARTS}


def test_facts_and_objectives_rule_moves_out() -> None:
    passes = {row.use for row in STARTS}

    def uses(objective: str, facts: dict[str, object]) -> set[str]:
        return {row.use for row in offered(objective, facts, passes)}  # type: ignore[arg-type]  # one of three

    assert "quantize-static" not in uses("latency", {"int8": False})
    assert "cast-fp16" not in uses("latency", {})
    assert "cast-fp16" in uses("latency", {"fp16": True})
    assert "cast-fp16" in uses("size", {})
    assert "quantize-weights" in uses("memory", {})
    assert "quantize-weights" not in uses("latency", {})
    assert not list(offered("latency", {}, ()))


def test_names_of_excluded_nodes_are_taken_literally() -> None:
    recipe = Recipe((Step("simplify", {}), Step("quantize-static", {"exclude": ["a"]})), main=1)
    spared = recipe.sparing(["conv[0]", "b*"])
    assert spared.steps[1].options["exclude"] == ["a", "conv[[]0]", "b[*]"]
    assert spared.name == "quantize-static, 3 layers float"
    assert recipe.steps[1].options["exclude"] == ["a"]
    assert recipe.key != spared.key


# ------------------------------------------------------------------------------------------------------------ choice

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


# --------------------------------------------------------------------------------------------------- first of all


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


# --------------------------------------------------------------------------------------------------- clock, journal


def test_an_evaluation_that_would_not_end_in_time_is_not_begun() -> None:
    clock = Clock(100.0)
    clock.ask()
    clock.learn(1e6)
    with pytest.raises(OutOfTime):
        clock.ask()


def test_what_still_runs_is_ended() -> None:
    import time

    ended = []
    clock = Clock(0.2)
    with clock.cutting_off(lambda: ended.append(time.monotonic())):
        time.sleep(0.5)
    assert ended
    assert clock.expired


def test_the_journal_survives_a_torn_line(tmp_path) -> None:
    from edgetool.engine.cache import Cache

    journal = Journal(Cache(tmp_path), "a" * 32)
    journal.add("one", Noted(1.5, None))
    journal.add("two", Noted(2.5, "refused"))
    with journal.path.open("a") as file:
        file.write('{"recipe": "thr')
    again = Journal(Cache(tmp_path), "a" * 32)
    assert len(again) == 2
    assert again.get("two") == Noted(2.5, "refused")
    assert again.get("three") is None
    assert len(Journal(Cache(tmp_path), "b" * 32)) == 0
