"""Takes recipes from the imported model to engines that ran on the samples and were measured."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import pydantic

from edgetool.config.schema import BudgetTable
from edgetool.engine.assess import footprint, node_counts, stand_in
from edgetool.engine.cache import make_key
from edgetool.engine.data import DataState, read_data
from edgetool.engine.events import CandidateStarted, Warned
from edgetool.engine.fallback import make_engine
from edgetool.engine.fingerprint import code_digest
from edgetool.engine.keys import backend_parts
from edgetool.engine.measurements import Measurement, load_measurement, measurement_key, save_measurement
from edgetool.engine.outcome import Candidate
from edgetool.engine.plan import plan_pass
from edgetool.engine.planned import BuildPlan, PlannedBackend
from edgetool.engine.prepare import Prepared, apply_recipe, import_source
from edgetool.engine.prove import engine_file
from edgetool.engine.services import Services
from edgetool.engine.stepper import Stepper, StepRequest
from edgetool.engine.trial import BenchTask, MeasureTask
from edgetool.errors import ConfigError, EdgetoolError, InterruptedByUserError, ModelError, UnavailableError
from edgetool.passes.base import Pass
from edgetool.plugin.loading import load_class
from edgetool.search.clock import Clock, OutOfTime
from edgetool.search.journal import Journal, Noted
from edgetool.search.point import Point, Trial
from edgetool.search.recipe import Recipe, Step
from edgetool.search.split import Split, split
from edgetool.search.steps import expected_of, expecting, trying
from edgetool.search.task import KEPT_BYTES, LayersTask, OperatorsTask
from edgetool.validate.budgets import Measured
from edgetool.validate.comparison import Comparison
from edgetool.validate.latency import AGREE_WITHIN, Latency

LASTING = (ConfigError, ModelError, UnavailableError)
"""Errors that the next attempt would end with, too; those of the machine and the moment are not noted."""

_OF_THE_MACHINE = frozenset({"disk-full", "permission-denied"})
"""Codes of errors that say nothing about a recipe, and that every other recipe would end with."""

LAYER_SAMPLES = 16


@dataclass(frozen=True, slots=True)
class Built:
    """An engine that ran on the samples but is not measured yet.

    Attributes:
        candidate: the engine and how it came about.
        golden: inputs to time it on.
        trial: how it came off.
        stepper: whose child may still have it open.
    """

    candidate: Candidate
    golden: Path
    trial: Trial
    stepper: Stepper


class Workbench:
    """Everything that all recipes of one search share. A context manager; leaving it ends its child processes.

    Attributes:
        points: all that was tried, in order; those of a batch in the batch's order.
        split: of the samples.
        journal: of this search.
        heard: called whenever a point or a duel is there.
        duels: keys of two recipes to how many times as fast the first is, and how far that may be off, for those that
            took turns with each other.
    """

    def __init__(
        self,
        plan: BuildPlan,
        services: Services,
        clock: Clock,
        *,
        threads: int,
        jobs: int,
        samples: int,
        latency_time: float,
        budget: BudgetTable,
    ) -> None:
        self._plan = plan
        self._services = services
        self._clock = clock
        self._threads = threads
        self._jobs = jobs
        self._latency_time = latency_time
        self._budget = budget
        self._stack = ExitStack()
        self._local = threading.local()
        self._lock = threading.Lock()
        self._backend: PlannedBackend = plan.backends[0]
        self._stepper = self._stack.enter_context(services.stepper(plan))
        self._pool = self._stack.enter_context(ThreadPoolExecutor(jobs - 1)) if jobs > 1 else None
        self._built: dict[str, Built] = {}
        self.points: list[Point] = []
        self.duels: dict[tuple[str, str], tuple[float, float]] = {}
        self.heard: Callable[[], None] = lambda: None
        self._imported: Prepared = import_source(plan, self._stepper, threads=threads)
        self._data: DataState = read_data(
            plan, self._stepper, "evaluation", self._imported.reference.signature, keep=KEPT_BYTES
        )
        self.split: Split = split(self._data.count, limit=samples)
        self.journal = Journal(services.cache, self._key())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def try_all(self, recipes: Sequence[Recipe]) -> list[Point]:
        """Try those that were not tried before, as many side by side as there are jobs; then measure, one by one.

        Raises:
            OutOfTime: there was no time for them all; what was finished is in `points`.
        """
        known = {point.recipe.key: point for point in self.points}
        new = [row for row in {row.key: row for row in recipes}.values() if row.key not in known]
        for start in range(0, len(new), self._jobs):
            # The first one stays with the child that has read the samples already.
            mine, *others = new[start : start + self._jobs]
            beside = [self._pool.submit(self._in_thread, recipe) for recipe in others] if self._pool else []
            found = self._started(mine, self._stepper)
            for point in (found, *(one.result() for one in beside)):
                self._finish(point)
        known = {point.recipe.key: point for point in self.points}
        if self._clock.expired or any(row.key not in known for row in recipes):
            raise OutOfTime
        return [known[row.key] for row in recipes]

    def duel(self, one: Point, other: Point, *, longer: int) -> None:
        """Time two engines in turns with each other: what the machine does meanwhile concerns both alike.

        Args:
            one, other: measured points.
            longer: how many times as long as a measurement this may take.

        Raises:
            OutOfTime: there is no time for it.
        """
        seconds = self._latency_time * longer
        if self._clock.left < 3 * seconds:
            raise OutOfTime
        stepper, builts = self._stepper, (self._built[one.recipe.key], self._built[other.recipe.key])
        ours, theirs = (engine_file(self._plan, row.candidate.engine, threads=self._threads) for row in builts)
        task = BenchTask(
            engine=ours,
            against=theirs,
            golden=builts[0].golden,
            logs=(stepper.log_path("engine"), stepper.log_path("against")),
            seconds=self._plan.target.builder.timeout,
            latency_time=seconds,
        )
        result = stepper.call("duel", "bench", task)
        latency = pydantic.TypeAdapter(Latency).validate_python(result["latency"])
        if latency.speedup is not None and latency.speedup_spread is not None:
            self.duels[one.recipe.key, other.recipe.key] = latency.speedup, max(latency.speedup_spread, AGREE_WITHIN)
            self.heard()

    def rank_layers(self, recipe: Recipe) -> tuple[str, ...]:
        """Names of the nodes that the recipe's main pass compresses, the one that adds the most error itself first.

        On calibration samples where the recipe uses any, so that nothing is chosen by what it is judged by.

        None are named where the compressed network cannot be laid beside the original, because its tensors have other
        shapes.

        Raises:
            OutOfTime: it would take too long.
        """
        self._clock.ask()
        try:
            return self._ranked(recipe)
        except ModelError as error:
            self._stepper.tell(Warned(self._plan.target.name, f"no layers of {recipe.name} are ranked: {error}"))
            return ()

    def _ranked(self, recipe: Recipe) -> tuple[str, ...]:
        assert recipe.main is not None
        stepper = self._stepper
        plain = replace(recipe, steps=recipe.steps[: recipe.main], main=None)
        original = apply_recipe(self._plan_of(plain), self._imported, stepper, threads=self._threads)
        prepared = apply_recipe(self._plan_of(recipe), self._imported, stepper, threads=self._threads)
        data = prepared.calibration or self._data
        rescaled = prepared.rescaled[len(original.rescaled) :]
        entry = stepper.run(
            StepRequest(
                name="sensitivity",
                task="layers",
                parts={
                    "original": original.model.digest,
                    "compressed": prepared.model.digest,
                    "data": data.digest,
                    "samples": LAYER_SAMPLES,
                    "rescaled": [[dict(row.tensors), list(row.factor)] for row in rescaled],
                },
                make=lambda folder: LayersTask(
                    original=original.model.file(),
                    compressed=prepared.model.file(),
                    data=data.request,
                    samples=LAYER_SAMPLES,
                    threads=self._threads,
                    fixed_inputs=dict(prepared.fixed_inputs),
                    rescaled=rescaled,
                ),
            )
        )
        return tuple(row["layer"] for row in entry.result["layers"])

    def operators(self, recipe: Recipe) -> frozenset[str]:
        """Of the network as the recipe leaves it; none where a pass refuses it. No engine is built for that."""
        plan, stepper = self._plan_of(recipe), self._stepper
        try:
            prepared = apply_recipe(plan, self._imported, stepper, threads=self._threads)
        except LASTING:
            return frozenset()
        return frozenset(stepper.call("operators", "operators", OperatorsTask(prepared.model.file()))["operators"])

    def knows(self, step: Step, option: str) -> bool:
        """Whether the step's pass has an option of this name."""
        info = self._services.plugins.passes.get(step.use)
        return info is not None and option in load_class(info, Pass).Options.model_fields

    def _in_thread(self, recipe: Recipe) -> tuple[Point, Built | None] | None:
        """With this thread's own child: the kernel ends a child with the thread that began it."""
        if not hasattr(self._local, "stepper"):
            self._local.stepper = self._services.stepper(self._plan)
            with self._lock:
                self._stack.enter_context(self._local.stepper)
        return self._started(recipe, self._local.stepper)

    def _started(self, recipe: Recipe, stepper: Stepper) -> tuple[Point, Built | None] | None:
        """None where the time does not suffice."""
        noted = self.journal.get(recipe.key)
        if noted is not None and noted.why_not is not None:
            return Point(recipe, why_not=noted.why_not, seconds=noted.seconds), None
        began = time.monotonic()
        try:
            if noted is None:
                self._clock.ask()
            built = self._build(recipe, stepper)
        except OutOfTime:
            return None
        except InterruptedByUserError:
            if self._clock.expired:
                return None
            raise
        except EdgetoolError as error:
            _raise_if_of_the_machine(error)
            seconds = time.monotonic() - began
            if isinstance(error, LASTING):
                self.journal.add(recipe.key, Noted(seconds, str(error)))
            return Point(recipe, why_not=str(error), seconds=seconds), None
        return Point(recipe, built.trial, seconds=time.monotonic() - began), built

    def _finish(self, found: tuple[Point, Built | None] | None) -> None:
        """Measure with nothing else running, and keep the point."""
        if found is None:
            return
        point, built = found
        began = time.monotonic()
        if built is not None and not built.trial.failures:
            twin = next((row for row in self.points if row.trial and row.trial.engine == built.trial.engine), None)
            if twin is not None:
                point = replace(point, trial=None, why_not=f"gives the same engine as {twin.name}")
            else:
                try:
                    measurement = self._measure(built)
                except InterruptedByUserError:
                    if self._clock.expired:
                        return
                    raise
                except EdgetoolError as error:
                    _raise_if_of_the_machine(error)
                    point = replace(point, trial=None, why_not=f"could not be measured: {error}")
                else:
                    self._built[point.recipe.key] = built
                    measured = replace(
                        built.trial.measured, latency=measurement.latency, memory=measurement.peak_memory
                    )
                    point = replace(point, trial=replace(built.trial, measurement=measurement, measured=measured))
        point = replace(point, seconds=point.seconds + time.monotonic() - began)
        self.points.append(point)
        self.heard()
        if self.journal.get(point.recipe.key) is None:
            self._clock.learn(point.seconds)
            self.journal.add(point.recipe.key, Noted(point.seconds, None))

    def _plan_of(self, recipe: Recipe) -> BuildPlan:
        target, where = self._plan.target, "the search"
        passes = tuple(
            plan_pass(step.use, step.options, target, self._services.plugins, where=where) for step in recipe.steps
        )
        return replace(self._plan, passes=passes, candidates=())

    def _build(self, recipe: Recipe, stepper: Stepper) -> Built:
        plan, threads = self._plan_of(recipe), self._threads
        stepper.tell(CandidateStarted(plan.target.name, recipe.name, plan.step_names[1:-1]))
        prepared = apply_recipe(plan, self._imported, stepper, threads=threads)
        candidate = make_engine(plan, self._backend, prepared, (), stepper, self._services.plugins, threads=threads)
        engine = candidate.engine
        headers = stepper.run(expecting(candidate, self._data, self.split, threads=threads))
        expected = expected_of(headers)
        entry = stepper.run(trying(plan, candidate, expected, self._data, self.split, stepper, threads=threads))
        kind = pydantic.TypeAdapter(dict[str, Comparison])
        comparisons = kind.validate_python(entry.result["comparisons"])
        size = sum(path.stat().st_size for path in engine.directory.rglob("*") if path.is_file())
        _, elsewhere = node_counts(candidate)
        return Built(
            candidate,
            entry.directory,
            Trial(
                engine=engine.digest,
                precision=engine.precision,
                size=size,
                comparisons=comparisons,
                measurement=None,
                measured=Measured(
                    size=size,
                    off_accelerator_nodes=elsewhere,
                    flash=footprint(candidate, "flash"),
                    ram=footprint(candidate, "ram"),
                    stand_in=stand_in(candidate),
                ),
                operators=frozenset(str(row["op_type"]) for row in candidate.verdict.placements),
            ),
            stepper,
        )

    def _measure(self, built: Built) -> Measurement:
        """From the cache where this engine was measured before, by a build too."""
        engine, reference = built.candidate.engine, built.candidate.prepared.reference
        key = measurement_key(engine.digest, reference.digest, engine.backend, threads=self._threads)
        stepper, builder = built.stepper, self._plan.target.builder
        if found := load_measurement(stepper.cache, key):
            return found
        task = MeasureTask(
            engine=engine_file(self._plan, engine, threads=self._threads),
            reference=reference.file(),
            feeds=built.golden,
            log=stepper.log_path("engine"),
            seconds=builder.timeout,
            latency_time=self._latency_time,
            fixed_inputs=dict(built.candidate.prepared.fixed_inputs),
            python=builder.python,
            memory=builder.memory,
        )
        return save_measurement(stepper.cache, key, stepper.call("measure", "measure", task))

    def _key(self) -> str:
        """What decides the outcome of a recipe, besides the recipe."""
        parts = {
            "reference": self._imported.reference.digest,
            "data": self._data.digest,
            "calibration": self._plan.config.data.calibration,
            "backend": backend_parts(self._backend),
            "passes": {name: code_digest(row.loader) for name, row in self._services.plugins.passes.items()},
        }
        return make_key("search", parts).digest[:32]


def _raise_if_of_the_machine(error: EdgetoolError) -> None:
    """A search on a full disk must not end with "no recipe holds the budgets"."""
    if error.code in _OF_THE_MACHINE:
        raise error
