"""What became of a recipe: a trial with its figures, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgetool.config.units import format_bytes, format_seconds
from edgetool.engine.measurements import Measurement
from edgetool.search.moves import Objective
from edgetool.search.recipe import Recipe
from edgetool.validate.budgets import Measured
from edgetool.validate.comparison import Comparison
from edgetool.validate.difference import rounded


@dataclass(frozen=True, slots=True)
class Trial:
    """An engine, run on the samples and measured.

    Attributes:
        engine: digest of its files.
        precision: of it.
        size: of its files, bytes.
        comparisons: with the reference, by group of samples.
        measurement: its latency and memory; None where it failed on the samples.
        measured: for the budgets; the comparison is filled in for each group.
        operators: that the network had when the backend got it; none where the backend does not say.
    """

    engine: str
    precision: str
    size: int
    comparisons: Mapping[str, Comparison]
    measurement: Measurement | None
    measured: Measured
    operators: frozenset[str] = frozenset()

    def loss(self, group: str) -> float | None:
        """How much worse than the reference: the metric's drop, else one minus the smallest cosine."""
        comparison = self.comparisons[group]
        if comparison.score is not None:
            return comparison.score.drop
        return None if comparison.cosine is None else 1 - comparison.cosine

    @property
    def failures(self) -> tuple[str, ...]:
        """Why it must not be used at all."""
        found = next(iter(self.comparisons.values())).findings
        return tuple(str(row) for row in found if row.kind == "failure")


@dataclass(frozen=True, slots=True)
class Point:
    """One recipe.

    Attributes:
        recipe: what was tried.
        trial: what came of it.
        why_not: why there is no trial.
        seconds: that it took.
    """

    recipe: Recipe
    trial: Trial | None = None
    why_not: str | None = None
    seconds: float = 0.0

    @property
    def name(self) -> str:
        return self.recipe.name

    def value(self, objective: Objective) -> float | None:
        """What the search makes small: seconds or bytes."""
        if self.trial is None or self.trial.measurement is None:
            return None
        match objective:
            case "latency":
                return self.trial.measurement.latency.engine.p50
            case "size":
                return float(self.trial.size)
            case "memory":
                return float(self.trial.measurement.peak_memory)

    def to_json(self) -> dict[str, Any]:
        trial = self.trial
        return {
            "name": self.name,
            "passes": self.recipe.to_json(),
            "why_not": self.why_not,
            "seconds": rounded(self.seconds),
            "precision": trial.precision if trial else None,
            "size": trial.size if trial else None,
            "latency": trial.measurement.latency.to_json() if trial and trial.measurement else None,
            "peak_memory": trial.measurement.peak_memory if trial and trial.measurement else None,
        }


def format_value(value: float, objective: Objective) -> str:
    return format_seconds(value) if objective == "latency" else format_bytes(round(value))
