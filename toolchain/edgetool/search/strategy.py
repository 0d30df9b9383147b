"""The order in which recipes are tried: few evaluations, each chosen by what the earlier ones said.

1. The float network, the target's own recipe, and one start a pass.
2. For every start, the most promising first: where it misses the accuracy, options that make it more accurate; where
   there is room, options that make it faster.
3. What still misses: its layers are ranked by sensitivity in one pass over the data, and the fewest of the worst ones
   that have to stay float are found by bisection.

A start that is not better than the best recipe so far is not worked on: leaving layers float only makes it slower or
larger. No sampler is needed for that: the moves are few, and the number of float layers is ordered.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

from edgetool.artifact import Facts
from edgetool.config.result import ResolvedTarget
from edgetool.search.moves import STARTS, TWEAKS, Objective, Start, Tweak
from edgetool.search.pick import Picker
from edgetool.search.point import Point
from edgetool.search.recipe import Recipe, Step, from_tables
from edgetool.search.workbench import Layers, Workbench

PREPARING = frozenset({"simplify", "specialize", "convert-opset", "repair-qdq", "fuse", "fold-bn"})
"""Passes that compress nothing: what the target's own recipe begins with is kept for all others."""

_MOST_FLOAT = 0.5
"""With more of its layers float than this a network is as good as float."""

_CLOSE_ENOUGH = 4
"""Bisection ends when it is known to a fourth of itself how many layers have to stay float."""


class Strategy:
    """The search for one target.

    Args:
        bench: tries recipes.
        picker: compares them.
        target: whose recipe it is.
        passes: names of those that are installed.
    """

    def __init__(self, bench: Workbench, picker: Picker, target: ResolvedTarget, passes: Collection[str]) -> None:
        self._bench = bench
        self._picker = picker
        self._target = target
        self._passes = passes
        self._prefix = preparation(target, passes)

    def run(self) -> None:
        """Try until nothing is left that could be better. Raises OutOfTime."""
        plain = Recipe(self._prefix, main=None)
        self._bench.try_all([plain])
        begun = self._bench.try_all([*own_recipes(self._target), *self._starts()])
        while begun:
            begun.sort(key=self._promise, reverse=True)
            self._work_on(begun.pop(0))

    def _starts(self) -> Iterator[Recipe]:
        for start in offered(self._picker.objective, self._target.facts, self._passes):
            after = (Step(start.then, {}),) if start.then else ()
            steps = (*self._prefix, Step(start.use, start.options), *after)
            yield Recipe(steps, main=len(self._prefix), note=f"then {start.then}" if start.then else "")

    def _promise(self, point: Point) -> float:
        """How many times as good as float it is; those without an engine come last."""
        plain = self._bench.points[0]
        if point.trial is None or point.trial.measurement is None or plain.trial is None:
            return 0.0
        return self._picker.gain(point, plain)[0] if plain.trial.measurement else 0.0

    def _work_on(self, begun: Point) -> None:
        step = begun.recipe.compresses
        if step is None or begun.trial is None or begun.trial.measurement is None or not self._could_win(begun):
            return
        tweaks = [row for row in TWEAKS if row.use == step.use and not row.options.items() <= step.options.items()]
        layers: Layers | None = None
        if any(row.needs for row in tweaks) or not self._picker.sound(begun):
            layers = self._bench.rank_layers(begun.recipe)
            tweaks = [row for row in tweaks if not row.needs or row.needs & layers.operators]
        if self._picker.sound(begun):
            self._try(begun.recipe, tweaks, "speed")
            return
        better = [row for row in (begun, *self._try(begun.recipe, tweaks, "accuracy")) if row.trial]
        holding = [row for row in better if self._picker.sound(row)]
        if holding:
            best = self._picker.best(holding, "chosen-by")
            assert best is not None
            self._try(best.recipe, tweaks, "speed")
            return
        base = min(better, key=self._loss)
        if layers is not None and self._bench.knows(step, "exclude") and self._could_win(base):
            self._spare_layers(base.recipe, layers.ranked)

    def _try(self, recipe: Recipe, tweaks: Sequence[Tweak], wants: str) -> list[Point]:
        return self._bench.try_all([recipe.with_options(row.options) for row in tweaks if row.wants == wants])

    def _spare_layers(self, recipe: Recipe, ranked: Sequence[str]) -> None:
        """The fewest of the most sensitive layers that have to stay float."""

        def holds(counts: Sequence[int]) -> list[bool]:
            points = self._bench.try_all([recipe.sparing(ranked[:count]) for count in counts])
            return [self._picker.sound(point) or not self._could_win(point) for point in points]

        fewest(holds, most=int(len(ranked) * _MOST_FLOAT))

    def _could_win(self, point: Point) -> bool:
        """Not worse beyond doubt than the best that holds the budgets so far."""
        if point.trial is None or point.trial.measurement is None:
            return False
        sound = [row for row in self._bench.points if self._picker.sound(row)]
        best = self._picker.best(sound, "chosen-by")
        return best is None or best is point or not self._picker.beats(best, point)

    def _loss(self, point: Point) -> float:
        loss = point.trial.loss("chosen-by") if point.trial else None
        return float("inf") if loss is None else loss


def fewest(holds: Callable[[Sequence[int]], list[bool]], *, most: int) -> int | None:
    """The smallest count that holds, to a fourth of itself, taking for granted that more hold where fewer do.

    Counts are doubled from 2 on until one holds; between that and the last that does not it is bisected.

    Args:
        holds: tells of each of some counts.
        most: the largest count that makes sense.
    """
    if most < 1:
        return None
    low, high = 0, None
    count = min(2, most)
    while high is None:
        if holds([count])[0]:
            high = count
        elif count == most:
            return None
        else:
            low, count = count, min(2 * count, most)
    while high - low > max(1, high // _CLOSE_ENOUGH):
        middle = (low + high) // 2
        if holds([middle])[0]:
            high = middle
        else:
            low = middle
    return high


def preparation(target: ResolvedTarget, passes: Collection[str]) -> tuple[Step, ...]:
    """What the target's own recipe begins with, up to the first pass that compresses; `simplify` where it has none."""
    found = []
    for row in target.passes or (target.candidates[0].passes if target.candidates else ()):
        if row.use not in PREPARING:
            break
        found.append(Step(row.use, row.options))
    return tuple(found) or ((Step("simplify", {}),) if "simplify" in passes else ())


def own_recipes(target: ResolvedTarget) -> Iterator[Recipe]:
    """The target's own recipe or candidates, as far as they compress anything."""
    for passes in (target.passes, *(row.passes for row in target.candidates)):
        main = next((place for place, row in enumerate(passes) if row.use not in PREPARING), None)
        if main is not None:
            more = [row.use for row in passes[main + 1 :]]
            yield replace(from_tables(passes, main=main), note=f"then {', '.join(more)}" if more else "")


def offered(objective: Objective, facts: Facts, passes: Collection[str]) -> Iterator[Start]:
    """The rows that make sense for the objective, on this target, with what is installed."""
    for row in STARTS:
        installed = row.use in passes and (row.then is None or row.then in passes)
        known = facts.get(row.fact, not row.known) if row.fact else True
        if installed and objective in row.serves and known:
            yield row
