"""Which of the recipes that were tried is the best: chosen by some of the samples, and judged by the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from edgetool.engine.ranking import ratio
from edgetool.search.limits import Limits
from edgetool.search.moves import Objective
from edgetool.search.point import Point, format_value
from edgetool.search.split import Split
from edgetool.validate.budgets import Verdict

Status: TypeAlias = Literal["chosen", "holds", "rejected", "no engine"]

AGREE = 0.02
"""Memory that differs by less is the same."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How one recipe came off, and why."""

    point: Point
    status: Status
    reason: str


@dataclass(frozen=True, slots=True)
class Pick:
    """The outcome of a search.

    Attributes:
        chosen: the best recipe; None where none holds the budgets.
        standings: of all that were tried.
        judged: the budgets on the samples that the choice was not made by.
        looks: how many recipes were judged by them; each one after the first makes the judgement a little too kind.
        pays: the chosen recipe compresses something and gains by it.
    """

    chosen: Point | None
    standings: tuple[Standing, ...]
    judged: tuple[Verdict, ...]
    looks: int

    @property
    def pays(self) -> bool:
        return self.chosen is not None and self.chosen.recipe.main is not None


@dataclass(frozen=True, slots=True)
class Picker:
    """How points are compared.

    Attributes:
        limits: what a recipe must hold.
        objective: what is made small.
        duels: keys of two recipes to how many times as fast the first is, and the doubt, where they took turns.
    """

    limits: Limits
    objective: Objective
    duels: Mapping[tuple[str, str], tuple[float, float]] = field(default_factory=dict)

    def pick(self, points: Sequence[Point]) -> Pick:
        """Choose; where the best does not hold what it promised on the other samples, the next one.

        A recipe that compresses costs accuracy, so it has to pay: it is chosen over the float network only where it
        is better beyond what the measurement scatters.
        """
        left = [row for row in points if self.sound(row)]
        fallen: dict[str, str] = {}
        judged: tuple[Verdict, ...] = ()
        chosen = None
        while left and chosen is None:
            best = self.best(left, "chosen-by")
            assert best is not None
            judged = self.judge(left, best)
            if missed := [str(row) for row in judged if row.status == "missed"]:
                fallen[best.recipe.key] = f"held on the samples that it was chosen by, not on the others: {missed[0]}"
                left.remove(best)
            else:
                chosen = best
        standings = tuple(self._standing(row, chosen, fallen) for row in points)
        return Pick(chosen, standings, judged if chosen else (), len(fallen) + (chosen is not None))

    def sound(self, point: Point, group: str = "chosen-by") -> bool:
        """It has an engine that runs, and misses no budget on this group of samples."""
        trial = point.trial
        return (
            trial is not None
            and trial.measurement is not None
            and not trial.failures
            and not self.limits.missed(trial, group)
        )

    def best(self, points: Sequence[Point], group: str) -> Point | None:
        """Of sound points: the smallest value; the most accurate one of those that are as good.

        Float where none is better than it beyond doubt.
        """
        if not points:
            return None
        first = points[0]
        for row in points[1:]:
            if self.gain(row, first)[0] > 1:
                first = row
        level = [row for row in points if not self.beats(first, row)]
        plain = next((row for row in points if row.recipe.main is None), None)
        if plain is not None:
            level = [row for row in level if row is not plain and self.beats(row, plain)]
        return min(level, key=lambda row: (row.trial.loss(group) or 0.0) if row.trial else 0.0, default=plain)

    def judge(self, points: Sequence[Point], best: Point) -> tuple[Verdict, ...]:
        """All budgets by samples that the choice was not made by.

        With folds, each round chooses by all others what its fold judges: that is the choosing that is judged.
        """
        split: Split = self.limits.split
        rounds = []
        for choose_by, judge_by in split.rounds:
            row: Point | None = best
            if split.kind == "folds":
                row = self.best([one for one in points if self.sound(one, choose_by)], choose_by) or best
            assert row is not None
            assert row.trial is not None
            rounds.append((row.trial, judge_by))
        return self.limits.across(rounds)

    def beats(self, row: Point, other: Point) -> bool:
        """Better beyond doubt."""
        value, doubt = self.gain(row, other)
        return value * (1 - doubt) > 1

    def gain(self, row: Point, other: Point) -> tuple[float, float]:
        """How many times as good the first is, and how far that may be off, as a share of it."""
        if self.objective == "latency":
            if found := self.duels.get((row.recipe.key, other.recipe.key)):
                return found
            if found := self.duels.get((other.recipe.key, row.recipe.key)):
                return 1 / found[0], found[1]
            assert row.trial is not None and row.trial.measurement is not None
            assert other.trial is not None and other.trial.measurement is not None
            return ratio(row.trial.measurement.latency, other.trial.measurement.latency)
        ours, theirs = row.value(self.objective), other.value(self.objective)
        assert ours is not None and theirs is not None
        return theirs / max(ours, 1.0), AGREE if self.objective == "memory" else 0.0

    def _standing(self, point: Point, chosen: Point | None, fallen: Mapping[str, str]) -> Standing:
        trial = point.trial
        if trial is None:
            return Standing(point, "no engine", point.why_not or "")
        if trial.failures or trial.measurement is None:
            return Standing(point, "rejected", "; ".join(trial.failures[:2]) or "it was not measured")
        if missed := self.limits.missed(trial, "chosen-by"):
            return Standing(point, "rejected", "missed " + "; ".join(map(str, missed)))
        if point.recipe.key in fallen:
            return Standing(point, "rejected", fallen[point.recipe.key])
        if chosen is None or point is chosen:
            return Standing(point, "chosen" if chosen else "holds", self._merit(point))
        value, doubt = self.gain(point, chosen)
        what = {"latency": "speed", "size": "compactness", "memory": "frugality"}[self.objective]
        doubted = f" (±{doubt:.0%})" if doubt else ""
        return Standing(point, "holds", f"{value:.2f}x{doubted} {chosen.name}'s {what}")

    def _merit(self, point: Point) -> str:
        value = point.value(self.objective)
        shown = format_value(value, self.objective) if value is not None else "?"
        if point.recipe.main is None:
            return f"nothing that holds the budgets is better beyond doubt: {shown}"
        return f"the best that holds the budgets: {shown}"


def pareto(points: Sequence[Point], objective: Objective, group: str = "chosen-by") -> tuple[Point, ...]:
    """Of points with figures, those that no other one beats in both objective and loss; the best value first."""
    figures = []
    for row in points:
        value = row.value(objective)
        loss = row.trial.loss(group) if row.trial and not row.trial.failures else None
        if value is not None and loss is not None:
            figures.append((value, loss, row))
    front: list[Point] = []
    least = float("inf")
    for _, loss, row in sorted(figures, key=lambda entry: entry[:2]):
        if loss < least:
            front.append(row)
            least = loss
    return tuple(front)
