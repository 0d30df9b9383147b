"""The parts of the search that need no engine: split, scores of groups, bisection, moves, clock, journal."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from edgetool.search.clock import Clock, OutOfTime
from edgetool.search.journal import Journal, Noted
from edgetool.search.moves import STARTS, TWEAKS
from edgetool.search.recipe import Recipe, Step
from edgetool.search.split import FEW, split
from edgetool.search.strategy import fewest, offered
from edgetool.search.task import _Kept, _scores
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
