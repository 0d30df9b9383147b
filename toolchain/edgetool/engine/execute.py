"""One target's build from its plan to its bundle: passes, engine or fallback, validation, verdicts, bundle."""

from __future__ import annotations

import time

from edgetool.engine.assess import Attempt, assess
from edgetool.engine.choose import choose
from edgetool.engine.confirm import confirm
from edgetool.engine.deliver import deliver
from edgetool.engine.events import BuildFinished, BuildStarted, Warned
from edgetool.engine.fallback import first_that_builds, make_engine
from edgetool.engine.history import save_history
from edgetool.engine.lock import LOCK_NAME, read_lock, update_lock
from edgetool.engine.outcome import BuildOptions
from edgetool.engine.pack import pack
from edgetool.engine.planned import BuildPlan
from edgetool.engine.prepare import apply_passes
from edgetool.engine.prove import prove, read_evaluation
from edgetool.engine.services import Services, threads_for
from edgetool.engine.stepper import Stepper
from edgetool.engine.summary import finish
from edgetool.plugin.manager import Plugins


def build(plan: BuildPlan, services: Services, options: BuildOptions) -> BuildFinished:
    """Build, validate and bundle one target. The returned event carries the exit code: 0, 4 or 9.

    Raises:
        EdgetoolError: whatever ended it before there was a bundle, or a package that could not be written.
    """
    started = time.monotonic()
    signer = plan.packages.signer() if plan.packages else None  # a key that is missing must not be found out at the end
    tell = services.listener_of(plan)
    tell(BuildStarted(plan.target.name, plan.step_names))
    for mistake in plan.config.warnings:
        tell(Warned(plan.target.name, str(mistake)))
    threads = threads_for(plan.target)
    lock_path = plan.config.root / LOCK_NAME
    lock = read_lock(lock_path, plan.target.name) if options.locked else None
    with services.stepper(plan, lock=lock) as stepper:
        if plan.candidates:
            chosen = choose(plan, stepper, services.plugins, options, lock=lock, threads=threads)
            attempt, choice, keys, history = chosen.attempt, chosen.choice, chosen.keys, chosen.history
        else:
            attempt, choice = _attempt(plan, stepper, services.plugins, options, threads=threads), None
            keys = history = tuple(stepper.history)
        delivery = deliver(attempt, choice, keys, stepper, options)
        save_history(services.cache, plan.target.name, history)
        if options.update_lock:
            update_lock(lock_path, plan.target.name, keys, choice=choice.to_json() if choice else None)
        failed = attempt.assessment.failures or attempt.assessment.missed
        packages = pack(plan.packages, delivery, signer, stepper) if plan.packages and not failed else ()
    finished = finish(attempt, choice, delivery, packages, options, seconds=time.monotonic() - started)
    tell(finished)
    return finished


def _attempt(plan: BuildPlan, stepper: Stepper, plugins: Plugins, options: BuildOptions, *, threads: int) -> Attempt:
    """The passes of the recipe, then the first backend that gets to an engine.

    Raises:
        EdgetoolError: of the last backend, when none does.
    """
    prepared = apply_passes(plan, stepper, threads=threads)
    candidate = first_that_builds(
        plan,
        stepper,
        lambda backend, refused: make_engine(plan, backend, prepared, refused, stepper, plugins, threads=threads),
    )
    evaluation = read_evaluation(plan, prepared.reference, stepper)
    attempt = assess(plan, candidate, prove(plan, candidate, evaluation, stepper, options, threads=threads))
    return confirm(attempt, stepper, options, threads=threads)
