"""A latency that breaks a budget is measured a second time: a busy moment must not fail a build."""

from __future__ import annotations

from dataclasses import replace

from edgetool.config.units import format_seconds
from edgetool.engine.assess import Attempt, assess
from edgetool.engine.events import Warned
from edgetool.engine.outcome import BuildOptions
from edgetool.engine.prove import measure_again
from edgetool.engine.stepper import Stepper
from edgetool.validate.budgets import OF_THE_MOMENT, Verdict

_LONGER = 4
_AT_LEAST = 2.0  # seconds


def confirm(attempt: Attempt, stepper: Stepper, options: BuildOptions, *, threads: int) -> Attempt:
    """The attempt itself, or where a budget of the moment was missed the same with a longer, second measurement.

    The second one decides. That the first one missed is told, and stands nowhere else: whoever reads the report next
    week has no use for a busy moment of this machine.
    """
    missed = _missed(attempt)
    if not missed or attempt.proof.measurement is None:
        return attempt
    longer = replace(options, latency_time=max(_AT_LEAST, _LONGER * options.latency_time))
    proof = measure_again(attempt.plan, attempt.candidate, attempt.proof, stepper, longer, threads=threads)
    second = assess(attempt.plan, attempt.candidate, proof)
    second = _confirmed(second, longer.latency_time)
    still = {row.name for row in _missed(second)}
    texts = "; ".join(f"{row}: {'missed again' if row.name in still else 'not missed'}" for row in missed)
    stepper.tell(Warned(attempt.plan.target.name, f"measured a second time, longer: {texts}"))
    return second


def _confirmed(attempt: Attempt, seconds: float) -> Attempt:
    """With what was missed again saying so: nobody has to wonder whether it was a busy moment."""
    said = f"missed again in a second measurement, of {format_seconds(seconds)}"
    verdicts = tuple(
        replace(row, reason=said) if row in _missed(attempt) else row for row in attempt.assessment.verdicts
    )
    return replace(attempt, assessment=replace(attempt.assessment, verdicts=verdicts))


def _missed(attempt: Attempt) -> tuple[Verdict, ...]:
    return tuple(row for row in attempt.assessment.missed if row.name in OF_THE_MOMENT)
