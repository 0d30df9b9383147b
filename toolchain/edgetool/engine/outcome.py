"""What a build needs to know and what it finds out: options in, candidate and proof on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetool.engine.backend import BuiltEngine, Verdict
from edgetool.engine.data import DataState
from edgetool.engine.measurements import Measurement
from edgetool.engine.prepare import Prepared
from edgetool.engine.standing import Choice
from edgetool.validate.comparison import Comparison


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What the command line adds to a plan.

    Attributes:
        output: folder that bundles go into.
        latency_time: seconds that a latency measurement may take.
        remeasure: measure again although there is a measurement.
        allow_unverified: exit 0 instead of 9.
        locked: any difference from edgetool.lock is an error.
        update_lock: write edgetool.lock.
        repeat: the choice between candidates that an earlier build made, and that is made again unasked.
    """

    output: Path
    latency_time: float = 0.5
    remeasure: bool = False
    allow_unverified: bool = False
    locked: bool = False
    update_lock: bool = False
    repeat: Choice | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A backend that was wanted and did not get to an engine, with its reason."""

    backend: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """An engine with the model it was made of, and the backends that were tried before."""

    prepared: Prepared
    verdict: Verdict
    engine: BuiltEngine
    refused: tuple[Refused, ...]


@dataclass(frozen=True, slots=True)
class Proof:
    """What validation and measurement found; all None but the golden folder where the engine cannot run here.

    Attributes:
        golden: folder of golden inputs and outputs, made by the engine, or by the reference where it cannot run.
        why_not: why the engine did not run.
        untimed: why it ran and its time says nothing.
        prove_by: what would prove it, as a command where there is one.
    """

    comparison: Comparison | None
    evidence: Mapping[str, Any]
    golden: Path | None
    measurement: Measurement | None
    evaluation: DataState | None
    why_not: str | None = None
    prove_by: str | None = None
    untimed: str | None = None
