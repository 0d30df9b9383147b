"""`edgetool tune` from its options to its outcome: limits, search until the time is up, choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from edgetool.config.schema import BudgetTable
from edgetool.engine.data import data_request
from edgetool.engine.events import Warned
from edgetool.engine.planned import BuildPlan
from edgetool.engine.services import Services, threads_for
from edgetool.errors import ConfigError, HostError, InterruptedByUserError, UnprovenError
from edgetool.search.answers import Answer, Answers
from edgetool.search.clock import Clock, OutOfTime
from edgetool.search.limits import ACCURACY, Limits
from edgetool.search.moves import Objective
from edgetool.search.pick import Pick, Picker, pareto
from edgetool.search.point import Point
from edgetool.search.split import Split
from edgetool.search.strategy import Strategy
from edgetool.search.workbench import Workbench
from edgetool.validate.difference import rounded

Ended: TypeAlias = Literal["complete", "out of time", "interrupted"]

DROP = 0.01
COSINE = 0.99
"""What must be held where neither the command line nor the target says anything of accuracy."""


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """What the command line adds to a plan.

    Attributes:
        objective: what is made small.
        max_drop, min_agreement, min_cosine: in place of the target's own budgets.
        seconds: to end within.
        jobs: recipes to try side by side.
        samples: take at most so many of the evaluation data.
        latency_time: seconds that a latency measurement may take.
        allow_unverified: exit 0 instead of 9.
    """

    objective: Objective = "latency"
    max_drop: float | None = None
    min_agreement: float | None = None
    min_cosine: float | None = None
    seconds: float = 600.0
    jobs: int = 1
    samples: int = 400
    latency_time: float = 1.0
    allow_unverified: bool = False


@dataclass(frozen=True, slots=True)
class Tuned:
    """What came of a search.

    Attributes:
        target: its name.
        objective: what was made small.
        budget: what had to hold.
        split: of the samples.
        pick: which recipe, and how all came off.
        front: those that no other beats in both the objective and the loss.
        ended: why it ended.
        seconds: that it took.
        answers: what would have been chosen before, and since when the last one would.
        unproven: what is open about the chosen recipe.
        allowed: it may stay open.
    """

    target: str
    objective: Objective
    budget: BudgetTable
    split: Split
    pick: Pick
    front: tuple[Point, ...]
    ended: Ended
    seconds: float
    unproven: tuple[str, ...]
    allowed: bool
    answers: tuple[Answer, ...] = ()

    @property
    def exit_code(self) -> int:
        """130 before 4 before 9 before 0."""
        if self.ended == "interrupted":
            return InterruptedByUserError.exit_code
        if self.pick.chosen is None:
            return 4
        return UnprovenError.exit_code if self.unproven and not self.allowed else 0

    def to_json(self) -> dict[str, Any]:
        chosen = self.pick.chosen
        return {
            "target": self.target,
            "objective": self.objective,
            "budget": self.budget.model_dump(exclude_none=True),
            "samples": self.split.to_json(),
            "ended": self.ended,
            "seconds": rounded(self.seconds),
            "chosen": chosen.name if chosen else None,
            "pays": self.pick.pays,
            "passes": chosen.recipe.to_json() if chosen else None,
            "judged": [row.to_json() for row in self.pick.judged],
            "looks": self.pick.looks,
            "unproven": list(self.unproven),
            "answers": [row.to_json() for row in self.answers],
            "front": [row.name for row in self.front],
            "points": [
                {**row.point.to_json(), "status": row.status, "reason": row.reason, **_losses(row.point, self.split)}
                for row in self.pick.standings
            ],
            "exit_code": self.exit_code,
        }


def tune(plan: BuildPlan, services: Services, options: TuneOptions) -> Tuned:
    """Search until nothing is left to try, the time is up, or the user interrupts.

    Raises:
        ConfigError: there is nothing to judge recipes by.
        UnprovenError: the target's engines do not run here.
        HostError: the time was up before there was anything to choose from.
        InterruptedByUserError: the same for Ctrl-C.
        EdgetoolError: the source could not be imported, the samples could not be read.
    """
    clock = Clock(options.seconds)
    budget = limits_of(plan, options)
    _check_runs_here(plan)
    try:
        with clock.cutting_off(services.children.interrupt):
            bench, ended, answers = _searched(plan, services, options, clock, budget)
    except InterruptedByUserError as error:
        if clock.expired:
            raise _nothing_in_time(plan, options) from error
        raise
    picker = Picker(Limits(budget, bench.split), options.objective, bench.duels)
    if not bench.points:
        raise _nothing_in_time(plan, options)
    pick = picker.pick(bench.points)
    return Tuned(
        target=plan.target.name,
        objective=options.objective,
        budget=budget,
        split=bench.split,
        pick=pick,
        front=pareto(bench.points, options.objective),
        ended=ended,
        seconds=clock.spent,
        unproven=tuple(_unproven(pick, plan)),
        allowed=options.allow_unverified or plan.target.unverified == "allow",
        answers=answers.rows,
    )


def _searched(
    plan: BuildPlan, services: Services, options: TuneOptions, clock: Clock, budget: BudgetTable
) -> tuple[Workbench, Ended, Answers]:
    """Whatever ends the search but an error: what was found until then counts."""
    with Workbench(
        plan,
        services,
        clock,
        threads=threads_for(plan.target),
        jobs=options.jobs,
        samples=options.samples,
        latency_time=options.latency_time,
        budget=budget,
    ) as bench:
        if bench.journal:
            text = f"{len(bench.journal)} recipes of this search were tried before: their results are used again"
            services.listener_of(plan)(Warned(plan.target.name, text))
        picker, answers = Picker(Limits(budget, bench.split), options.objective, bench.duels), Answers()
        bench.heard = lambda: answers.note(clock.spent, picker.pick(bench.points).chosen)
        try:
            Strategy(bench, picker, plan.target, services.plugins.passes).run()
        except OutOfTime:
            return bench, "out of time", answers
        except InterruptedByUserError:
            if not clock.expired:
                raise
            return bench, "out of time", answers
        except KeyboardInterrupt:
            services.children.interrupt()
            if not bench.points:
                raise
            return bench, "interrupted", answers
        return bench, "complete", answers


def limits_of(plan: BuildPlan, options: TuneOptions) -> BudgetTable:
    """The target's budgets, with those of the command line in their place. Raises ConfigError."""
    where = f"{plan.config.path} [data]"
    if data_request(plan, "evaluation") is None:
        raise ConfigError(
            "nothing-to-tune-by",
            "recipes are chosen and judged by evaluation samples, and there are none",
            where=f"{where} evaluation",
            hint='name a folder of npz, npy or images, or "module:function"; labels are needed for a metric only',
        )
    metric = plan.config.data.metric
    if options.max_drop is not None and metric is None:
        raise ConfigError(
            "nothing-to-tune-by",
            "--max-drop limits what the metric may lose, and none is declared",
            where=f"{where} metric",
            hint="declare one, or limit the difference to float with --min-agreement or --min-cosine",
        )
    wanted: Mapping[str, float | None] = {
        "max_drop": options.max_drop,
        "min_agreement": options.min_agreement,
        "min_cosine": options.min_cosine,
    }
    budget = plan.target.budget.model_copy(update={key: value for key, value in wanted.items() if value is not None})
    if all(getattr(budget, key) is None for key in ACCURACY):
        budget = budget.model_copy(update={"max_drop": DROP} if metric else {"min_cosine": COSINE})
    return budget


def _check_runs_here(plan: BuildPlan) -> None:
    backend = plan.backends[0]
    if backend.failure is not None:
        raise backend.failure
    availability = backend.availability
    assert availability is not None
    if not availability.can_run:
        raise UnprovenError(
            "nothing-to-tune-on",
            f"recipes are chosen by what is measured, and engines of {plan.target.name} do not run here: "
            f"{availability.why_not or 'the device is not here'}",
            where=f"{plan.config.path} [targets.{plan.target.name}]",
            hint=availability.fix or "run it where the device is",
        )


def _unproven(pick: Pick, plan: BuildPlan) -> list[str]:
    """What the chosen recipe's figures do not prove."""
    if pick.chosen is None or pick.chosen.trial is None:
        return []
    found = [str(row) for row in pick.judged if row.status == "unverified"]
    if stand_in := pick.chosen.trial.measured.stand_in:
        found.append(f"measured on {stand_in}, which only stands in for {plan.target.name}")
    return found


def _nothing_in_time(plan: BuildPlan, options: TuneOptions) -> HostError:
    return HostError(
        "search-timed-out",
        f"not even the float network was built and measured within {options.seconds:g} s",
        where=plan.target.name,
        hint="give it longer with --time; what was finished is kept and not done again",
    )


def _losses(point: Point, split: Split) -> dict[str, Any]:
    """Scores, agreement and cosine on the samples that were chosen by, and on the others where those are apart."""
    found: dict[str, Any] = {}
    for group in ("chosen-by", "judged-by"):
        if point.trial is None or group not in split.groups:
            continue
        comparison = point.trial.comparisons[group]
        rows = comparison.real.differences if comparison.real else ()
        found[group.replace("-", "_")] = {
            "drop": rounded(comparison.score.drop) if comparison.score else None,
            "cosine": rounded(comparison.cosine),
            "agreement": rounded(rows[0].top1 if rows and not rows[0].integral else rows[0].equal if rows else None),
        }
    return found
