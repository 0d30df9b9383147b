"""The order in which recipes are tried: few evaluations, each chosen by what the earlier ones said.

1. What usually wins on a network of such operators, and the float network; then the target's own recipe, and every
   start that takes nothing out of the network.
2. For each of these, the most promising first: where it misses the accuracy, options that make it more accurate; where
   there is room, options that do more.
3. What still misses: its layers are ranked by sensitivity in one pass over the data, and the fewest of the worst ones
   that have to stay float are found by bisection.
4. Of recipes that the measurements could not tell apart the most accurate one would win: it takes turns with the
   fastest one, so that a busy machine does not decide.
5. What takes something out of the network goes before the best recipe so far, as much of it as holds.

A start that is not better than the best recipe so far is not worked on: leaving layers float only makes it slower or
larger. No sampler is needed for that: the moves are few, and the number of float layers is ordered.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from edgetool.artifact import Facts
from edgetool.config.result import ResolvedTarget
from edgetool.search.moves import STARTS, TWEAKS, Objective, Start, Tweak
from edgetool.search.pick import Picker
from edgetool.search.point import Point
from edgetool.search.recipe import PREPARING, Recipe, Step, from_tables
from edgetool.search.workbench import Workbench

_MOST_FLOAT = 0.5
"""With more of its layers float than this a network is as good as float."""

_LONGER = (2, 6)
"""How many times as long as a measurement engines take turns that it could not tell apart."""

_RIVALS = 3
"""So many recipes that may be as good as the fastest take turns with it."""

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
        rows = list(offered(self._picker.objective, self._target.facts, self._passes))
        gentle = [row for row in rows if not row.structural]
        starts = {plain.after(Step(row.use, row.options)).key: row for row in gentle}
        *guessed, _ = self._bench.try_all([*self._guess(plain, gentle), plain])
        self._settle()
        recipes = [plain.after(Step(row.use, row.options)) for row in starts.values()]
        begun = self._bench.try_all([*own_recipes(self._target), *recipes])
        self._settle()
        sound = [point for point in guessed if self._picker.sound(point)]
        left = list({point.recipe.key: point for point in (*sound, *begun)}.values())
        while left:
            left.sort(key=self._promise, reverse=True)
            point = left.pop(0)
            self._work_on(point, starts.get(point.recipe.key))
        self._tell_apart()
        for row in rows:
            if row.structural:
                self._take_out(row)
        self._settle()
        self._tell_apart()

    def _guess(self, plain: Recipe, starts: Sequence[Start]) -> Iterator[Recipe]:
        """What usually wins goes first: the first start with all that makes it faster for such a network."""
        if self._picker.objective != "latency" or not starts:
            return
        step = Step(starts[0].use, starts[0].options)
        recipe = plain.after(step)
        if operators := self._bench.operators(plain):
            for row in _tweaks(step, operators):
                recipe = recipe.with_options(row.options) if row.wants == "speed" else recipe
        yield recipe

    def _plain(self) -> Point:
        return next(row for row in self._bench.points if row.recipe.main is None)

    def _settle(self) -> None:
        """Where the best of the others looks better than float, but is not so beyond doubt: the two take turns."""
        plain = self._plain()
        rivals = [row for row in self._bench.points if row is not plain and self._picker.sound(row)]
        if self._picker.objective != "latency" or not rivals or not self._picker.sound(plain):
            return
        best = max(rivals, key=self._promise)
        for longer in _LONGER:
            if self._promise(best) > 1 and not self._picker.beats(best, plain):
                self._bench.duel(best, plain, longer=longer)

    def _tell_apart(self) -> None:
        """Where the most accurate of the best is not the one that looks best, the two take turns."""
        if self._picker.objective != "latency":
            return
        for _ in range(_RIVALS):
            best, looks_best = self._best(), self._looks_best()
            if best is None or looks_best is None or best is looks_best or best.recipe.main is None:
                return
            for longer in _LONGER:
                if self._picker.gain(looks_best, best)[0] > 1 and not self._picker.beats(looks_best, best):
                    self._bench.duel(looks_best, best, longer=longer)
            if not self._picker.beats(looks_best, best):
                return

    def _looks_best(self) -> Point | None:
        """Of those that hold the budgets, by what was measured, however far that may be off."""
        sound = [row for row in self._bench.points if self._picker.sound(row)]
        found = sound[0] if sound else None
        for row in sound[1:]:
            if found is not None and self._picker.gain(row, found)[0] > 1:
                found = row
        return found

    def _take_out(self, start: Start) -> None:
        """The best recipe so far with less of a network to work on, the mildest amount first."""
        best = self._best()
        if best is not None and all(step.use != start.use for step in best.recipe.steps):
            amounts = ({}, *start.bolder)
            self._climb([best.recipe.after(Step(start.use, {**start.options, **more})) for more in amounts])

    def _climb(self, recipes: Sequence[Recipe]) -> None:
        """Each as long as the one before holds, and could be the best."""
        for recipe in recipes:
            (point,) = self._bench.try_all([recipe])
            if not self._picker.sound(point) or not self._could_win(point):
                return

    def _promise(self, point: Point) -> float:
        """How many times as good as float it is; those without an engine come last."""
        plain = self._plain()
        if point.trial is None or point.trial.measurement is None or plain.trial is None:
            return 0.0
        return self._picker.gain(point, plain)[0] if plain.trial.measurement else 0.0

    def _work_on(self, begun: Point, start: Start | None) -> None:
        step = begun.recipe.compresses
        if step is None or begun.trial is None or begun.trial.measurement is None or not self._could_win(begun):
            return
        tweaks = list(_tweaks(step, begun.trial.operators))
        if self._picker.sound(begun):
            self._try(begun.recipe, tweaks, "speed")
            self._climb([begun.recipe.with_options(options) for options in (start.bolder if start else ())])
            return
        better = [row for row in (begun, *self._try(begun.recipe, tweaks, "accuracy")) if row.trial]
        best = self._picker.best([row for row in better if self._picker.sound(row)], "chosen-by")
        if best is not None:
            self._try(best.recipe, tweaks, "speed")
            return
        base = min(better, key=self._distance)
        if self._bench.knows(step, "exclude") and self._could_win(base):
            # Tensors of an equalized network do not compare with the original's.
            named = {"equalization": 0.0} if self._bench.knows(step, "equalization") else {}
            self._spare_layers(base.recipe, self._bench.rank_layers(base.recipe.with_options(named)))

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
        best = self._best()
        return best is None or best is point or not self._picker.beats(best, point)

    def _best(self) -> Point | None:
        return self._picker.best([row for row in self._bench.points if self._picker.sound(row)], "chosen-by")

    def _distance(self, point: Point) -> tuple[float, ...]:
        """How far from holding: budgets that are missed, the loss, and what is left of the cosine."""
        if point.trial is None:
            return (float("inf"),)
        comparison = point.trial.comparisons["chosen-by"]
        missed = self._picker.limits.missed(point.trial, "chosen-by")
        return len(missed), point.trial.loss("chosen-by") or 0.0, 1 - (comparison.cosine or 0.0)


def _tweaks(step: Step, operators: frozenset[str]) -> Iterator[Tweak]:
    """The rows that would change something."""
    for row in TWEAKS:
        there = not row.needs or not operators or bool(row.needs & operators)
        if (
            row.use == step.use
            and there
            and not row.unless & operators
            and not row.options.items() <= step.options.items()
        ):
            yield row


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
        recipe = from_tables(passes)
        if recipe.main is not None:
            yield recipe


def offered(objective: Objective, facts: Facts, passes: Collection[str]) -> Iterator[Start]:
    """The rows that make sense for the objective, on this target, with what is installed."""
    for row in STARTS:
        known = facts.get(row.fact, not row.known) if row.fact else True
        if row.use in passes and objective in row.serves and known:
            yield row
