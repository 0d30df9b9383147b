"""How each candidate of `precision = "auto"` came off, as reports, the lock and people get to see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import pydantic

from edgetool.artifact import JsonValue
from edgetool.config.units import format_bytes, format_seconds
from edgetool.engine.measurements import Measurement
from edgetool.validate.difference import rounded
from edgetool.validate.findings import Finding

Status: TypeAlias = Literal["chosen", "passed over", "rejected", "refused", "left out"]
Reason: TypeAlias = Literal["speed", "size", "only one left", "only one proven", "fewest faults"]

_OF_THE_CHOICE = frozenset({"candidate-not-tried", "chosen-by-size"})
"""Codes of what a choice can leave open."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One candidate.

    Attributes:
        name: of its recipe or precision.
        passes: that were applied, or would have been.
        status: `chosen`; `passed over`: it would do, another is better; `rejected`: it fails the validation or a
            budget; `refused`: it never became an engine; `left out`: it was not tried.
        reason: why; nothing in it depends on the moment.
        precision: of its engine.
        size: of its engine's files, bytes.
        drop: of the metric.
        cosine: the smallest to the reference of any output, on the user's samples.
    """

    name: str
    passes: tuple[str, ...]
    status: Status
    reason: str | None = None
    precision: str | None = None
    size: int | None = None
    drop: float | None = None
    cosine: float | None = None

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "name": self.name,
            "passes": list(self.passes),
            "status": self.status,
            "reason": self.reason,
            "precision": self.precision,
            "size": self.size,
            "drop": rounded(self.drop),
            "cosine": rounded(self.cosine),
        }


@dataclass(frozen=True, slots=True)
class Moment:
    """What was measured of a candidate, on this machine or its device.

    Attributes:
        measurement: its latency and memory; None where it was not measured.
        remark: what its figures say, against the chosen one's.
    """

    measurement: Measurement | None
    remark: str | None = None

    def to_json(self) -> dict[str, JsonValue]:
        return {"latency": self.measurement.latency.to_json() if self.measurement else None, "remark": self.remark}


@dataclass(frozen=True, slots=True)
class Choice:
    """Which candidate is in the bundle, and why.

    Attributes:
        name: of it.
        by: what decided: `speed`; `size`, where nothing could be measured; that only one was left over, or proven; or
            that none is without faults.
        standings: of all candidates, in the order of the target.
        unproven: what the choice leaves open.
        moments: by candidate, what was measured of it.
        undecided: the measurement cannot tell which is faster, the chosen one or another.
        drifted: the machine was not equally busy when they were measured.
        headline: whether quantization pays here, for the line that ends the build.
        locked: the lock file made the choice.
    """

    name: str
    by: Reason
    standings: tuple[Standing, ...]
    unproven: tuple[Finding, ...] = ()
    moments: Mapping[str, Moment] = field(default_factory=dict)
    undecided: bool = False
    drifted: bool = False
    headline: str | None = None
    locked: bool = False

    def to_json(self) -> dict[str, JsonValue]:
        """What lasts: for the bundle and the lock."""
        return {
            "chosen": self.name,
            "by": self.by,
            "candidates": [row.to_json() for row in self.standings],
            "unproven": [row.to_json() for row in self.unproven],
        }


def choice_from_json(data: Mapping[str, Any]) -> Choice:
    """Back from the lock. Raises KeyError or ValueError where it was tampered with."""
    return Choice(
        name=str(data["chosen"]),
        by=data["by"],
        standings=pydantic.TypeAdapter(tuple[Standing, ...]).validate_python(data["candidates"]),
        unproven=pydantic.TypeAdapter(tuple[Finding, ...]).validate_python(data["unproven"]),
        locked=True,
    )


def choice_of_report(validation: Mapping[str, Any]) -> Choice | None:
    """The choice that reports/validation.json tells of; None where there was none.

    Raises:
        KeyError: it was not written by a build.
        ValueError: as above.
    """
    if not validation.get("candidates"):
        return None
    unproven = [row for row in validation["unproven"] if row["code"] in _OF_THE_CHOICE]
    rows = {"chosen": validation["candidate"], "by": validation["chosen_by"], "candidates": validation["candidates"]}
    return choice_from_json({**rows, "unproven": unproven})


def standing_lines(choice: Choice) -> list[str]:
    """One line a candidate, in columns."""
    rows = [_cells(row, choice.moments.get(row.name)) for row in choice.standings]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _cells(row: Standing, moment: Moment | None) -> tuple[str, ...]:
    p50 = ""
    if moment and moment.measurement:
        timing = moment.measurement.latency.engine
        p50 = f"p50 {format_seconds(timing.p50)} (±{timing.spread:.0%})"
    accuracy = ""
    if row.drop is not None:
        accuracy = f"drop {row.drop:.2%}"
    elif row.cosine is not None:
        accuracy = f"cosine {row.cosine:.6f}"
    why = (moment.remark if moment else None) or row.reason or ""
    return (row.name, row.status, "" if row.size is None else format_bytes(row.size), p50, accuracy, why)
