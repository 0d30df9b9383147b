"""What was accepted before: known deviations do not fail again, and what got worse since fails.

A baseline is a file in the repository. It holds every check's outcome and the figures that may not get worse, by model
and target. Of times it holds two. The speed-up over the float reference can be compared between machines, roughly, as
long as the reference is the same. The latency itself is looked at where it is not, and on the same processor only.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pydantic

from edgetool.config.units import format_bytes, format_seconds
from edgetool.disk import replace_file
from edgetool.errors import ConfigError
from edgetool.report.document import Check, Outcome, Report, Summary

SCHEMA_VERSION = 1

SPEED, LATENCY = "speed", "latency"
"""The figures that a busy machine can spoil."""

SCORE_SLACK = 0.005
"""Absolute: half a point of the metric; kernels of another processor may turn a sample or two."""

SIZE_SLACK = 0.01
"""Relative."""

SPEED_SLACK = 0.10
"""Relative, beside the spreads of both measurements."""

LATENCY_SLACK = 0.25
"""The same for times, which differ from day to day on one machine."""


class Figures(pydantic.BaseModel):
    """What may not get worse; None where it was not measured.

    Attributes:
        yardstick: what the speed-up is measured by: the float network, its runtime, and threads, as a digest.
        cpu: what the latency was measured on.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    metric: str | None = None
    score: float | None = None
    cosine: float | None = None
    size: int | None = None
    speedup: float | None = None
    speedup_spread: float | None = None
    latency: float | None = None
    latency_spread: float | None = None
    yardstick: str | None = None
    cpu: str | None = None


class Cell(pydantic.BaseModel):
    """One model on one target."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    checks: dict[str, Outcome]
    figures: Figures


class Baseline(pydantic.BaseModel):
    """The whole file; cells by `MODEL/TARGET`."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    cells: dict[str, Cell]


@dataclass(frozen=True, slots=True)
class _Fall:
    """A figure that got worse than the slack allows; cost is often meant to grow, accuracy is never meant to fall."""

    name: str
    message: str
    may_be_meant: bool = False


def read_baseline(path: Path) -> Baseline:
    """Raises ConfigError where there is none, or it is one of another schema."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            "baseline-not-found",
            f"the baseline cannot be read: {error.strerror or error}",
            where=str(path),
            hint="write the first one with --update-baseline",
        ) from error
    except (ValueError, RecursionError) as error:
        raise _invalid(path, f"it is not JSON: {str(error)[:100]}") from error
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        raise _invalid(path, f"its schema_version is {version!r:.20}, this edgetool knows {SCHEMA_VERSION}")
    try:
        return Baseline.model_validate(document)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise _invalid(path, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _invalid(path: Path, reason: str) -> ConfigError:
    return ConfigError(
        "baseline-invalid",
        f"this is no baseline: {reason}",
        where=str(path),
        hint="write it again with --update-baseline, and look at the difference before you commit it",
    )


def write_baseline(path: Path, summary: Summary) -> None:
    """Accept everything as it is now; cells of other models and targets stay. Sorted, so that a review sees changes.

    Raises:
        ConfigError: what is there is no baseline.
        HostError: disk full, permission denied.
    """
    cells = dict(read_baseline(path).cells) if path.is_file() else {}
    cells |= {
        _name(report): Cell(checks={check.id: check.outcome for check in report.checks}, figures=_figures(report))
        for report in summary.reports
    }
    document = Baseline(cells=cells).model_dump(mode="json", exclude_none=True)
    replace_file(path, (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode())


def against(summary: Summary, baseline: Baseline, *, where: str) -> Summary:
    """The same reports, judged by the baseline.

    A check that failed or was unverified there, too, becomes `known`. A figure that got worse beyond its slack becomes
    a failed check of its own, whatever the budgets say.

    Raises:
        ConfigError: the baseline knows none of the models and targets: it belongs to something else.
    """
    names = {_name(report) for report in summary.reports}
    if names and baseline.cells and not names & baseline.cells.keys():
        raise ConfigError(
            "baseline-of-others",
            f"the baseline knows {', '.join(sorted(baseline.cells)[:5])}, but not {', '.join(sorted(names)[:5])}",
            where=where,
            hint="name the baseline of this project, or write one with --update-baseline",
        )
    judged = [_judged(report, baseline.cells.get(_name(report)), where=where) for report in summary.reports]
    gone = [f"{name}: in the baseline, but not validated now" for name in sorted(baseline.cells.keys() - names)]
    lines = [line for _, lines in judged for line in lines]
    return Summary(tuple(report for report, _ in judged), (*lines, *gone))


def accepted(summary: Summary) -> Summary:
    """The same reports once a baseline was written of them: what deviates is known from now on, and does not fail."""
    lines = [
        f"{_name(report)}: accepted: {check.title}: {check.message}"
        for report in summary.reports
        for check in report.checks
        if check.outcome in ("failed", "unverified")
    ]
    return Summary(tuple(_accepted(report) for report in summary.reports), tuple(lines))


def _accepted(report: Report) -> Report:
    known = (
        replace(check, outcome="known") if check.outcome in ("failed", "unverified") else check
        for check in report.checks
    )
    return replace(report, checks=tuple(known))


def slower_than_accepted(report: Report) -> bool:
    """Whether a report of `against` says that it got slower: to be measured once more before anybody believes it."""
    return bool(_slower(report))


def confirmed(first: Summary, second: Summary, *, seconds: float) -> Summary:
    """The second judgement, which says of what seemed slower in the first whether it was, once measured for longer."""
    reports, lines = [], list(second.baseline)
    for before, report in zip(first.reports, second.reports, strict=True):
        seemed, slower = _slower(before), _slower(report)
        twice = {name: _twice(check, seconds) for name, check in slower.items()}
        reports.append(replace(report, checks=tuple(twice.get(check.id, check) for check in report.checks)))
        said = {_regression(report, slower[name].message): _regression(report, twice[name].message) for name in slower}
        lines = [said.get(line, line) for line in lines]
        lines += [
            f"{_name(report)}: seemed slower at first: {check.message}; measured again for {format_seconds(seconds)}, "
            "it is not"
            for name, check in seemed.items()
            if name not in slower
        ]
    return Summary(tuple(reports), tuple(lines))


def _twice(check: Check, seconds: float) -> Check:
    message = f"{check.message}; confirmed: a second measurement, of {format_seconds(seconds)}, says so too"
    return replace(check, message=message)


def _regression(report: Report, message: str) -> str:
    return f"{_name(report)}: regression: {message}"


def _slower(report: Report) -> dict[str, Check]:
    return {check.id: check for check in report.checks if check.id in (f"baseline/{SPEED}", f"baseline/{LATENCY}")}


def _judged(report: Report, cell: Cell | None, *, where: str) -> tuple[Report, list[str]]:
    name = _name(report)
    if cell is None:
        return report, [f"{name}: new, judged by its budgets alone"]
    lines, checks = [], []
    for check in report.checks:
        before = cell.checks.get(check.id)
        if check.outcome in ("failed", "unverified") and _no_better(before, check.outcome):
            checks.append(replace(check, outcome="known"))
            lines.append(f"{name}: known deviation: {check.title}: {check.message}")
            continue
        checks.append(check)
        if check.outcome == "failed" and before is not None:
            lines.append(f"{name}: regression: {check.title} was {before}: {check.message}")
        elif check.outcome == "passed" and before in ("failed", "unverified", "known"):
            lines.append(f"{name}: better: {check.title} was {before} and passes; accept it with --update-baseline")
    for fall in _falls(cell.figures, _figures(report)):
        title = f"{fall.name} against the baseline"
        fix = _how_to_accept(where) if fall.may_be_meant else None
        checks.append(Check(f"baseline/{fall.name}", title, "failed", fall.message, fix))
        lines.append(_regression(report, fall.message))
    return replace(report, checks=tuple(checks)), lines


def _how_to_accept(where: str) -> str:
    command = f"edgetool validate --baseline {shlex.quote(where)} --update-baseline"
    return f"where the change is meant, accept it: {command}"


def _no_better(before: Outcome | None, now: Outcome) -> bool:
    """Whether the baseline says the same or something worse; `known` there was accepted once already."""
    return before in ("failed", "known") or (before == "unverified" and now == "unverified")


def _falls(before: Figures, now: Figures) -> Iterator[_Fall]:
    if before.metric == now.metric and before.score is not None and now.score is not None:
        lost = before.score - now.score
        if lost > SCORE_SLACK:
            yield _Fall("accuracy", f"{now.metric} fell from {before.score:.4g} to {now.score:.4g}")
    if before.cosine is not None and now.cosine is not None and (1 - now.cosine) > 2 * (1 - before.cosine) + 1e-4:
        yield _Fall("drift", f"the smallest cosine of an output fell from {before.cosine:.6f} to {now.cosine:.6f}")
    if before.size and now.size and now.size > before.size * (1 + SIZE_SLACK):
        grew = f"the engine grew from {format_bytes(before.size)} to {format_bytes(now.size)}"
        yield _Fall("size", grew, may_be_meant=True)
    yield from _slower_than(before, now)


def _slower_than(before: Figures, now: Figures) -> Iterator[_Fall]:
    # An unchanged reference tells a slow engine from a slow day, and one machine from another.
    if before.speedup and now.speedup and before.yardstick in (None, now.yardstick):
        noise = (before.speedup_spread or 0) + (now.speedup_spread or 0)
        if now.speedup < before.speedup * (1 - SPEED_SLACK - noise):
            was = f"{before.speedup:.2f} times the float reference's speed became {now.speedup:.2f} (±{noise:.0%})"
            longer = f"an inference takes {before.speedup / now.speedup:.2f} times as long"
            yield _Fall(SPEED, f"{was}: {longer}", may_be_meant=True)
    elif before.latency and now.latency and before.cpu is not None and before.cpu == now.cpu:
        noise = (before.latency_spread or 0) + (now.latency_spread or 0)
        if now.latency > before.latency * (1 + LATENCY_SLACK + noise):
            grew = f"p50 grew from {format_seconds(before.latency)} to {format_seconds(now.latency)} (±{noise:.0%})"
            longer = f"{now.latency / before.latency:.2f} times as long"
            why = "the float network, its runtime or its threads changed, too"
            yield _Fall(LATENCY, f"{grew} on {now.cpu}: {longer}; {why}", may_be_meant=True)


def _figures(report: Report) -> Figures:
    comparison, latency = report.comparison, report.latency
    score = comparison.score if comparison else None
    return Figures(
        metric=score.metric if score else None,
        score=_plain(score.engine) if score else None,
        cosine=_plain(comparison.cosine) if comparison and comparison.cosine is not None else None,
        size=report.size,
        speedup=_plain(latency.speedup) if latency and latency.speedup else None,
        speedup_spread=_plain(latency.speedup_spread) if latency and latency.speedup_spread else None,
        latency=_plain(latency.engine.p50) if latency else None,
        latency_spread=_plain(latency.engine.spread) if latency else None,
        yardstick=report.yardstick,
        cpu=_text(report.measured.get("device") or report.measured.get("cpu")),
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _plain(value: float) -> float:
    return float(f"{value:.6g}")


def _name(report: Report) -> str:
    return f"{report.model}/{report.target}"
