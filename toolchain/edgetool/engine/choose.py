"""`precision = "auto"`: every candidate is built and measured, and the best one is delivered."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgetool.engine.assess import Attempt, assess
from edgetool.engine.cache import Key
from edgetool.engine.data import DataState
from edgetool.engine.events import CandidateStarted, Warned
from edgetool.engine.fallback import FALLS_BACK, first_that_builds, make_engine
from edgetool.engine.lock import TargetLock
from edgetool.engine.outcome import BuildOptions, Refused
from edgetool.engine.planned import BuildPlan, PlannedBackend, PlannedCandidate
from edgetool.engine.prepare import Prepared, apply_recipe, import_source
from edgetool.engine.prove import prove, read_evaluation
from edgetool.engine.ranking import Contender, rank
from edgetool.engine.standing import Choice, Moment, choice_from_json
from edgetool.engine.stepper import Stepper
from edgetool.errors import ConfigError, DriftError, EdgetoolError, ModelError
from edgetool.plugin.manager import Plugins


class Contest:
    """The candidates of one target, each taken from the imported model to a proven engine.

    Attributes:
        shared: keys of the steps that all of them begin with.
    """

    def __init__(
        self, plan: BuildPlan, stepper: Stepper, plugins: Plugins, options: BuildOptions, *, threads: int
    ) -> None:
        self._plan = plan
        self._stepper = stepper
        self._plugins = plugins
        self._options = options
        self._threads = threads
        self._imported: Prepared = import_source(plan, stepper, threads=threads)
        self._evaluation: DataState | None = read_evaluation(plan, self._imported.reference, stepper)
        self.shared: tuple[Key, ...] = tuple(stepper.history)

    def run(self, backend: PlannedBackend, refused: tuple[Refused, ...]) -> tuple[Contender, ...]:
        """All candidates with one backend.

        Raises:
            EdgetoolError: none of them got to an engine, or something is wrong that concerns them all.
        """
        contenders = tuple(self._try(row, backend, refused) for row in self._plan.candidates)
        if not any(row.attempt for row in contenders):
            raise _none_left(self._plan, contenders)
        return contenders

    def _try(self, row: PlannedCandidate, backend: PlannedBackend, refused: tuple[Refused, ...]) -> Contender:
        contender = Contender(row.name, row.use, error=row.failure, left_out=row.left_out)
        if row.why_not is not None:
            return contender
        target, before = self._plan.target.name, len(self._stepper.history)
        plan = self._plan.with_passes_of(row)
        self._stepper.tell(CandidateStarted(target, row.name, plan.step_names[1:-1]))
        try:
            attempt = self._attempt(plan, backend, refused)
        except EdgetoolError as error:
            if error.exit_code not in FALLS_BACK:
                raise
            self._stepper.tell(Warned(target, f"candidate {row.name} gives no engine: {error}"))
            return replace(contender, error=error)
        return replace(contender, attempt=attempt, keys=tuple(self._stepper.history[before:]))

    def _attempt(self, plan: BuildPlan, backend: PlannedBackend, refused: tuple[Refused, ...]) -> Attempt:
        stepper, threads = self._stepper, self._threads
        prepared = apply_recipe(plan, self._imported, stepper, threads=threads)
        candidate = make_engine(plan, backend, prepared, refused, stepper, self._plugins, threads=threads)
        return assess(
            plan, candidate, prove(plan, candidate, self._evaluation, stepper, self._options, threads=threads)
        )


@dataclass(frozen=True, slots=True)
class Chosen:
    """What came of a contest.

    Attributes:
        attempt: the best candidate's.
        choice: how all came off.
        keys: of the steps that led to the best one, for the lock.
        history: of all steps, those of each candidate under names of their own.
    """

    attempt: Attempt
    choice: Choice
    keys: tuple[Key, ...]
    history: tuple[Key, ...]


def choose(
    plan: BuildPlan,
    stepper: Stepper,
    plugins: Plugins,
    options: BuildOptions,
    *,
    lock: TargetLock | None,
    threads: int,
) -> Chosen:
    """Build all candidates and take the best. A locked or repeated build makes the one that was chosen before.

    Raises:
        EdgetoolError: of the last backend, when none of its candidates got to an engine.
        DriftError: the lock names no candidate, or one that the target no longer has.
    """
    locked = _locked(plan, lock) if lock else options.repeat
    if locked:
        plan = replace(plan, candidates=tuple(row for row in plan.candidates if row.name == locked.name))
    contest = Contest(plan, stepper, plugins, options, threads=threads)
    contenders = first_that_builds(plan, stepper, contest.run)
    best, choice = rank(contenders)
    attempt = best.attempt
    assert attempt is not None
    if locked:
        choice = replace(locked, moments={best.name: Moment(attempt.proof.measurement)})
    opened = (*attempt.assessment.unproven, *choice.unproven)
    return Chosen(
        attempt=replace(attempt, assessment=replace(attempt.assessment, unproven=opened)),
        choice=choice,
        keys=(*contest.shared, *best.keys),
        history=(
            *contest.shared,
            *(replace(key, step=f"{row.name}: {key.step}") for row in contenders for key in row.keys),
        ),
    )


def _locked(plan: BuildPlan, lock: TargetLock) -> Choice:
    """The choice that the lock holds. Raises DriftError where it can be made no more."""
    if lock.choice is None:
        raise _drift(plan, lock, 'the lock was written before the target said precision = "auto"')
    try:
        choice = choice_from_json(lock.choice)
    except (KeyError, ValueError) as error:
        where = f"{lock.path} choices.{plan.target.name}"
        raise ConfigError("no-lock", f"this is no choice between candidates: {error}", where=where) from error
    row = next((row for row in plan.candidates if row.name == choice.name), None)
    if row is None:
        raise _drift(plan, lock, f"candidate {choice.name!r} was locked, and the target has it no more")
    if row.why_not is not None:
        raise _drift(plan, lock, f"candidate {choice.name!r} was locked, and now is left out: {row.why_not}")
    return choice


def _drift(plan: BuildPlan, lock: TargetLock, what: str) -> DriftError:
    hint = "restore what changed, or accept it with edgetool build --update-lock"
    return DriftError("lock-drift", what, where=f"{lock.path} [{plan.target.name}]", hint=hint)


def _none_left(plan: BuildPlan, contenders: tuple[Contender, ...]) -> EdgetoolError:
    """All reasons; under the code and exit code that the errors have in common, if they have."""
    errors = [row.error for row in contenders if row.error]
    if len(contenders) == 1 and errors:
        return errors[0]
    reasons = "; ".join(f"{row.name}: {row.left_out or row.error}" for row in contenders)
    message = f"no candidate became an engine: {reasons}"
    where = f"{plan.config.path} [targets.{plan.target.name}]"
    if len({error.code for error in errors}) == 1:
        return type(errors[0])(errors[0].code, message, where=where, hint=errors[0].hint)
    hint = errors[0].hint if errors else "name a recipe in place of precision, and build that"
    return ModelError("no-candidate", message, where=where, hint=hint)
