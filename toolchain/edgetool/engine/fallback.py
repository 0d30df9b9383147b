"""The first of a target's backends that gets to an engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from edgetool.engine.backend import accept_or_legalize, build_engine
from edgetool.engine.events import StepNote, Warned
from edgetool.engine.outcome import Candidate, Refused
from edgetool.engine.planned import BuildPlan, PlannedBackend
from edgetool.engine.prepare import Prepared
from edgetool.engine.stepper import Stepper
from edgetool.errors import EdgetoolError
from edgetool.plugin.manager import Plugins

FALLS_BACK = frozenset({3, 5, 10})
"""Exit codes of a primary backend after which the next one is tried: never after a failed validation or tampering."""

Made = TypeVar("Made")


def first_that_builds(
    plan: BuildPlan, stepper: Stepper, attempt: Callable[[PlannedBackend, tuple[Refused, ...]], Made]
) -> Made:
    """What `attempt` makes with the first backend that it does not fail with; it is told who was tried before.

    Raises:
        EdgetoolError: of the last backend, when none does.
    """
    refused: tuple[Refused, ...] = ()
    for backend in plan.backends:
        try:
            if backend.failure is not None:
                raise backend.failure
            _tell_of_site(plan, backend, stepper)
            return attempt(backend, refused)
        except EdgetoolError as error:
            if backend is plan.backends[-1] or error.exit_code not in FALLS_BACK:
                raise
            refused = (*refused, Refused(backend.name, error.code, str(error)))
            stepper.tell(Warned(plan.target.name, f"{backend.name} gave no engine, falling back: {error}"))
    raise AssertionError("a plan has at least one backend")


def make_engine(
    plan: BuildPlan,
    backend: PlannedBackend,
    prepared: Prepared,
    refused: tuple[Refused, ...],
    stepper: Stepper,
    plugins: Plugins,
    *,
    threads: int,
) -> Candidate:
    """One backend's engine, after the one pass that it may ask for."""
    ready, verdict = accept_or_legalize(plan, backend, prepared, stepper, plugins, threads=threads)
    return Candidate(ready, verdict, build_engine(backend, ready.model, stepper, threads=threads), refused)


def _tell_of_site(plan: BuildPlan, backend: PlannedBackend, stepper: Stepper) -> None:
    """Which builder serves and why."""
    availability = backend.availability
    if availability is not None and availability.builder is not None:
        stepper.tell(StepNote(plan.target.name, "build", f"builder {availability.builder}: {availability.why_builder}"))
