"""The record of a comparison: what was run, how far the engine is off, what follows from it."""

from __future__ import annotations

from dataclasses import dataclass

from edgetool.artifact import JsonValue
from edgetool.validate.difference import Difference, rounded
from edgetool.validate.findings import Finding, Status, status_of
from edgetool.validate.shapes import Origin


@dataclass(frozen=True, slots=True)
class Trial:
    """One group of feeds with its differences, one an output.

    Attributes:
        origin: `evaluation` (the user's samples), `stretched` (cut or repeated to size) or `random`.
        shape: `min (batch=1)` and the like; `as given` for the user's samples.
        feeds: how many were run.
        differences: in the order of the reference's outputs.
    """

    origin: Origin
    shape: str
    feeds: int
    differences: tuple[Difference, ...]

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "origin": self.origin,
            "shape": self.shape,
            "feeds": self.feeds,
            "outputs": [difference.to_json() for difference in self.differences],
        }


@dataclass(frozen=True, slots=True)
class Score:
    """The task metric of both. `drop` is the reference's minus the engine's: positive is worse."""

    metric: str
    reference: float
    engine: float

    @property
    def drop(self) -> float:
        return self.reference - self.engine

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "metric": self.metric,
            "reference": rounded(self.reference),
            "engine": rounded(self.engine),
            "drop": rounded(self.drop),
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that was found out about an engine's numbers.

    Attributes:
        precision: the engine's.
        trials: the user's samples first, if there are any.
        score: the task metric; None when none is declared or it could not be computed.
        repeat_difference: largest absolute difference between two runs on the same feed; 0 is deterministic.
        samples: the user's evaluation samples: how many, and their digest.
        findings: failures, what is unproven, remarks.
    """

    precision: str
    trials: tuple[Trial, ...]
    score: Score | None
    repeat_difference: float
    samples: tuple[int, str] | None
    findings: tuple[Finding, ...]

    @property
    def status(self) -> Status:
        return status_of(self.findings)

    @property
    def real(self) -> Trial | None:
        """The trial on the user's own samples."""
        return next((trial for trial in self.trials if trial.origin == "evaluation"), None)

    @property
    def cosine(self) -> float | None:
        """The smallest of any output on the user's own samples; None without samples or float outputs."""
        rows = self.real.differences if self.real else ()
        return min((row.cosine for row in rows if not row.integral), default=None)

    @property
    def deterministic(self) -> bool:
        return self.repeat_difference == 0

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "status": self.status,
            "precision": self.precision,
            "evaluation": None if self.samples is None else {"count": self.samples[0], "digest": self.samples[1]},
            "score": None if self.score is None else self.score.to_json(),
            "deterministic": self.deterministic,
            "repeat_difference": rounded(self.repeat_difference),
            "trials": [trial.to_json() for trial in self.trials],
            "findings": [finding.to_json() for finding in self.findings],
        }
