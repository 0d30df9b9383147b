"""The outcome of a search as text: a table of all recipes, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterator

from edgetool.config.units import format_bytes, format_seconds
from edgetool.plain_text import counted, table
from edgetool.search.pick import Standing
from edgetool.search.point import Point, Trial
from edgetool.search.tune import Tuned


def lines(tuned: Tuned) -> Iterator[str]:
    """One row a recipe: the chosen one first, then by what was made small; those without an engine last."""
    recipes = counted(len(tuned.pick.standings), "recipe")
    yield f"{tuned.target}: {recipes} tried in {tuned.seconds:.0f} s; {tuned.split}"
    front = {row.recipe.key for row in tuned.front}
    rows = [_cells(row, front) for row in ordered(tuned)]
    yield table(rows, headers=("recipe", "", "p50", "speedup", "size", "memory", "loss", "why"))
    yield "*: no other recipe is better in both the objective and the loss"


def ordered(tuned: Tuned) -> list[Standing]:
    """The chosen one, those that hold, the rejected ones, those without an engine; each by the objective."""
    ranks = {"chosen": 0, "holds": 1, "rejected": 2, "no engine": 3}

    def place(row: Standing) -> tuple[int, float]:
        value = row.point.value(tuned.objective)
        return ranks[row.status], float("inf") if value is None else value

    return sorted(tuned.pick.standings, key=place)


def _cells(row: Standing, front: set[str]) -> tuple[str, ...]:
    trial = row.point.trial
    name = f"{row.point.name} *" if row.point.recipe.key in front else row.point.name
    if trial is None or trial.measurement is None:
        return (name, row.status, "", "", "", "", "", row.reason)
    latency = trial.measurement.latency
    return (
        name,
        row.status,
        f"{format_seconds(latency.engine.p50)} ±{latency.engine.spread:.0%}",
        "" if latency.speedup is None else f"{latency.speedup:.2f}x",
        format_bytes(trial.size),
        format_bytes(trial.measurement.peak_memory),
        loss_text(trial, "chosen-by"),
        row.reason,
    )


def loss_text(trial: Trial, group: str) -> str:
    """The metric's drop, else the agreement or the cosine."""
    comparison = trial.comparisons[group]
    if comparison.score is not None:
        return f"drop {comparison.score.drop:.2%}"
    return "" if comparison.cosine is None else f"cosine {comparison.cosine:.5f}"


def conclusion(tuned: Tuned) -> Iterator[str]:
    """A few sentences: which, why, how well it is known, and why the search ended."""
    pick = tuned.pick
    if pick.chosen is None:
        yield f"{tuned.target}: no recipe holds the budgets"
    elif pick.pays:
        yield f"{tuned.target}: {pick.chosen.name}{_gain(tuned, pick.chosen)}"
    else:
        what = "nothing pays here" if tuned.ended == "complete" else "nothing that was tried pays here"
        yield f"{tuned.target}: {what}, float is kept: {_nearest(tuned)}"
    for row in pick.judged:
        yield f"  {row.name}: {row.status} on samples that it was not chosen by: {row}"
    if pick.looks > 1:
        yield f"  {pick.looks} recipes were judged by the same samples: the last judgement is a little too kind"
    for text in tuned.unproven:
        yield f"  unproven: {text}"
    match tuned.ended:
        case "out of time":
            yield "  the time was up before everything was tried; the same command goes on where it ended"
        case "interrupted":
            yield "  interrupted; the same command goes on where it ended"


def _gain(tuned: Tuned, chosen: Point) -> str:
    plain = next((row.point for row in tuned.pick.standings if row.point.recipe.main is None), None)
    ours, theirs = chosen.value(tuned.objective), plain.value(tuned.objective) if plain else None
    if tuned.objective == "latency" and chosen.trial and chosen.trial.measurement:
        latency = chosen.trial.measurement.latency
        speedup = "" if latency.speedup is None else f", {latency.speedup:.2f}x the reference's speed"
        return f": p50 {format_seconds(latency.engine.p50)}{speedup}, {format_bytes(chosen.trial.size)}"
    if ours is None or theirs is None:
        return ""
    return f": {format_bytes(round(ours))}, float has {format_bytes(round(theirs))}"


def _nearest(tuned: Tuned) -> str:
    """Why the best of the others was not taken."""
    for row in ordered(tuned):
        if row.point.recipe.main is not None and row.status in ("holds", "rejected"):
            return f"{row.point.name}: {row.reason}"
    return "no other recipe has an engine"
