"""Judges what was measured by what the user allows. What could not be measured, or not well enough, is unverified."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from edgetool.artifact import JsonValue
from edgetool.config.schema import BudgetTable
from edgetool.config.units import format_bytes, format_seconds
from edgetool.errors import BudgetError, UnprovenError
from edgetool.validate.difference import rounded
from edgetool.validate.findings import Finding

if TYPE_CHECKING:
    from edgetool.validate.comparison import Comparison
    from edgetool.validate.latency import Latency, Timing

Unit: TypeAlias = Literal["share", "ratio", "dB", "seconds", "bytes", "count", "plain"]

FULL_TAIL = 100
"""Runs from which a 99th percentile can be told; with fewer the slowest run stands for its upper end."""

_ON_DEVICE = "build on a machine that has the target's device and runtime"

_LINK = "build for a microcontroller (backend c), where its compiler and emulator are installed"

_NO_RATIO = "the engine was timed on its device, where the float reference does not run"
_ABSOLUTE = "set latency_p50 instead, which is measured on the device"

ACCURACY = ("max_drop", "min_metric", "min_cosine", "min_sqnr_db", "min_agreement", "max_abs")
"""Budgets that are judged by the engine's numbers."""

OF_THE_MOMENT = ("latency_p50", "latency_p90", "latency_p99", "min_speedup", "memory")
"""Budgets whose verdict depends on the machine and the moment."""

_ROUNDING = 1e-9
"""0.9 - 0.89 is a little more than 0.01 in binary; nobody means that."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one budget.

    Attributes:
        name: the key in `[targets.NAME.budget]`.
        status: `held`, `missed` or `unverified`.
        limit: as declared, in seconds, bytes, shares.
        measured: the value, or None when there is none.
        unit: what both numbers are.
        reason: why it is unverified, or how a miss was confirmed; None otherwise.
        fix: what would prove it.
    """

    name: str
    status: Literal["held", "missed", "unverified"]
    limit: float
    measured: float | None
    unit: Unit
    reason: str | None = None
    fix: str | None = None

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "name": self.name,
            "status": self.status,
            "limit": float(self.limit),  # all digits: rounded, a limit of 0.9999999 would read 1
            "measured": rounded(self.measured),
            "unit": self.unit,
            "reason": self.reason,
            "fix": self.fix,
        }

    @property
    def declared(self) -> str:
        """As the user wrote it, about: `latency_p99 12 ms`."""
        return f"{self.name} {format_quantity(self.limit, self.unit)}"

    def __str__(self) -> str:
        limit = self.declared
        if self.measured is not None:
            limit += f", measured {format_quantity(self.measured, self.unit)}"
        return f"{limit}: {self.reason}" if self.reason else limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Everything that budgets are judged by; None where it was not measured.

    Attributes:
        comparison: engine against reference.
        latency: engine and reference.
        size: of the engine's files, bytes.
        memory: peak of the engine's process, bytes.
        off_accelerator_nodes: nodes that run elsewhere.
        flash, ram: of the linked image of a microcontroller, bytes.
        stand_in: name of the device or runtime that took the place of the real one, or None.
        why_not: why nothing could be measured here, e.g. that the device is not present.
        untimed: why it ran and its time says nothing.
    """

    comparison: Comparison | None = None
    latency: Latency | None = None
    size: int | None = None
    memory: int | None = None
    off_accelerator_nodes: int | None = None
    flash: int | None = None
    ram: int | None = None
    stand_in: str | None = None
    why_not: str | None = None
    untimed: str | None = None


@dataclass(frozen=True, slots=True)
class _Reading:
    """A measured value and the range that it really lies in."""

    value: float
    low: float
    high: float


def judge(budget: BudgetTable, measured: Measured) -> tuple[Verdict, ...]:
    """One verdict a declared budget, in the order of the schema.

    A stand-in proves nothing for what it stands in for: what it holds is unverified. Only an accuracy budget that
    it misses counts as missed, because the numbers come from the model and its precision more than from the device.
    """
    return tuple(_judge(budget, measured))


def enforce(
    verdicts: tuple[Verdict, ...], findings: tuple[Finding, ...], *, target: str, allow_unverified: bool
) -> None:
    """End the build where something failed, or could not be proven.

    Raises:
        BudgetError: the validation failed or a budget was missed (exit 4, before 9).
        UnprovenError: something is unverified and that is not allowed (exit 9).
    """
    failures = [str(finding) for finding in findings if finding.kind == "failure"]
    if failures:
        raise BudgetError(
            "validation-failed",
            "the engine does not compute what the reference computes: " + "; ".join(failures),
            where=target,
            hint="see the validation report; `edgetool explain validation-failed`",
        )
    missed = [str(verdict) for verdict in verdicts if verdict.status == "missed"]
    if missed:
        raise BudgetError(
            "budget-missed",
            "missed " + "; ".join(missed),
            where=f"[targets.{target}.budget]",
            hint="try another recipe, or change the budget",
        )
    unproven = [verdict for verdict in verdicts if verdict.status == "unverified"]
    texts = [str(finding) for finding in findings if finding.kind == "unproven"] + [str(row) for row in unproven]
    if texts and not allow_unverified:
        fixes = dict.fromkeys(verdict.fix for verdict in unproven if verdict.fix)
        raise UnprovenError(
            "result-unproven",
            "built, but not proven here: " + "; ".join(texts),
            where=target,
            hint="; ".join([*fixes, "or accept it with --allow-unverified"]),
        )


def format_quantity(value: float, unit: Unit) -> str:
    """For people: 0.0123 seconds -> `12.3 ms`."""
    if unit == "seconds":
        return format_seconds(value)
    if unit == "bytes":
        return format_bytes(round(value))
    if unit == "share":
        return f"{value * 100:.4g} %"
    suffix = {"dB": " dB", "ratio": "x"}.get(unit, "")
    return f"{value:.9g}{suffix}" if unit == "plain" else f"{value:.6g}{suffix}"


def _judge(budget: BudgetTable, measured: Measured) -> Iterator[Verdict]:
    yield from _judge_accuracy(budget, measured)
    yield from _judge_speed(budget, measured)
    exact: tuple[tuple[str, float | None, float | None, Unit, str], ...] = (
        ("size", budget.size, measured.size, "bytes", _ON_DEVICE),
        ("memory", budget.memory, measured.memory, "bytes", _ON_DEVICE),
        ("off_accelerator_nodes", budget.off_accelerator_nodes, measured.off_accelerator_nodes, "count", _ON_DEVICE),
        ("flash", budget.flash, measured.flash, "bytes", _LINK),
        ("ram", budget.ram, measured.ram, "bytes", _LINK),
    )
    for name, limit, value, unit, fix in exact:
        if limit is not None:
            yield _verdict(name, limit, _exactly(value), unit, measured, fix=fix)


def _judge_accuracy(budget: BudgetTable, measured: Measured) -> Iterator[Verdict]:
    comparison = measured.comparison
    score = comparison.score if comparison else None
    rows = comparison.real.differences if comparison and comparison.real else ()
    floats = [row for row in rows if not row.integral]
    agreement = None
    if rows:
        agreement = rows[0].equal if rows[0].integral else rows[0].top1
    data = "declare [data] evaluation"
    checks: tuple[tuple[str, float | None, float | None, Unit, bool, str], ...] = (
        ("max_drop", budget.max_drop, score.drop if score else None, "share", True, f"{data} and metric"),
        ("min_metric", budget.min_metric, score.engine if score else None, "share", False, f"{data} and metric"),
        ("min_cosine", budget.min_cosine, min((row.cosine for row in floats), default=None), "plain", False, data),
        ("min_sqnr_db", budget.min_sqnr_db, min((row.sqnr_db for row in floats), default=None), "dB", False, data),
        ("min_agreement", budget.min_agreement, agreement, "share", False, data),
        ("max_abs", budget.max_abs, max((row.max_abs for row in rows), default=None), "plain", True, data),
    )
    for name, limit, value, unit, at_most, fix in checks:
        if limit is not None:
            reading = _exactly(value)
            yield _verdict(name, limit, reading, unit, measured, fix=fix, at_most=at_most, accuracy=True)


def _judge_speed(budget: BudgetTable, measured: Measured) -> Iterator[Verdict]:
    latency = measured.latency
    longer = "measure longer: --latency-time 5s" if latency else _ON_DEVICE
    engine = latency.engine if latency else None
    checks = (
        ("latency_p50", budget.latency_p50, _scattered(engine.p50, engine.spread) if engine else None),
        ("latency_p90", budget.latency_p90, _scattered(engine.p90, engine.spread) if engine else None),
        ("latency_p99", budget.latency_p99, _tail(engine) if engine else None),
    )
    for name, limit, reading in checks:
        if limit is not None:
            yield _verdict(name, limit, reading, "seconds", measured, fix=longer)
    if budget.min_speedup is not None:
        yield _judge_speedup(budget.min_speedup, measured, longer)


def _judge_speedup(limit: float, measured: Measured, longer: str) -> Verdict:
    reading = None
    if (latency := measured.latency) is not None:
        if latency.speedup is None or latency.speedup_spread is None:
            return Verdict("min_speedup", "unverified", limit, None, "ratio", _NO_RATIO, _ABSOLUTE)
        reading = _scattered(latency.speedup, latency.speedup_spread)
    return _verdict("min_speedup", limit, reading, "ratio", measured, fix=longer, at_most=False)


def _verdict(
    name: str,
    limit: float,
    reading: _Reading | None,
    unit: Unit,
    measured: Measured,
    *,
    fix: str,
    at_most: bool = True,
    accuracy: bool = False,
) -> Verdict:
    if reading is None:
        fix = _ON_DEVICE if measured.why_not else fix
        why_not = measured.why_not or (measured.untimed if name in OF_THE_MOMENT else None) or "not measured"
        return Verdict(name, "unverified", limit, None, unit, why_not, fix)
    slack = _ROUNDING * (abs(limit) if unit == "seconds" else max(1.0, abs(limit)))
    best, worst = (reading.low, reading.high) if at_most else (-reading.high, -reading.low)
    bound = (limit if at_most else -limit) + slack
    missed, held = best > bound, worst <= bound
    if measured.stand_in is not None and not (accuracy and missed):
        reason = f"measured on {measured.stand_in}, which only stands in for the target"
        return Verdict(name, "unverified", limit, reading.value, unit, reason, _ON_DEVICE)
    if missed or held:
        return Verdict(name, "missed" if missed else "held", limit, reading.value, unit)
    low, high = format_quantity(reading.low, unit), format_quantity(reading.high, unit)
    return Verdict(
        name, "unverified", limit, reading.value, unit, f"the limit lies inside the spread {low}..{high}", fix
    )


def _exactly(value: float | None) -> _Reading | None:
    return None if value is None or math.isnan(value) else _Reading(value, value, value)


def _scattered(value: float, spread: float) -> _Reading:
    return _Reading(value, value * (1 - spread), value * (1 + spread))


def _tail(timing: Timing) -> _Reading:
    """The 99th percentile: from few runs it may be as low as the median and as high as the slowest run."""
    if timing.runs >= FULL_TAIL:
        return _scattered(timing.p99, timing.spread)
    return _Reading(timing.p99, timing.p50 * (1 - timing.spread), timing.longest * (1 + timing.spread))
