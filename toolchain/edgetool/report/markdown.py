"""Markdown for a step summary or a comment: the verdicts as one table, then what each build found, folded away."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from edgetool.config.units import format_bytes, format_seconds
from edgetool.plain_text import counted
from edgetool.report.document import Check, Footprint, Outcome, Report, Summary
from edgetool.validate.budgets import Verdict, format_quantity

MOST_BYTES = 900 << 10
"""A step summary that is larger than 1024 KiB is dropped as a whole."""

_MARKS: dict[Outcome, str] = {"passed": "✅", "failed": "❌", "unverified": "⚠️", "known": "🔁", "not-run": "⏭️"}


def render(summary: Summary) -> str:
    """Verdict first. Details of later builds are left out where the text would get too long, and it says so."""
    text = "\n".join([f"## {_MARKS[summary.outcome]} edgetool: {summary.outcome}", "", *_overview(summary)]) + "\n"
    for at, report in enumerate(summary.reports):
        details = "\n".join(_details(report)) + "\n"
        if len((text + details).encode("utf-8", "replace")) > MOST_BYTES:
            left = counted(len(summary.reports) - at, "more build")
            return text + f"\n… and the details of {left}, left out for length.\n"
        text += details
    return text


def _overview(summary: Summary) -> Iterator[str]:
    rows = [
        (
            _MARKS[report.outcome],
            _text(f"{report.model} {report.version}"),
            _text(report.target),
            _text(report.precision),
            format_bytes(report.size) if report.size is not None else "",
            format_seconds(report.latency.engine.p50) if report.latency else "",
            _text(_score(report)),
            _text(report.headline),
        )
        for report in summary.reports
    ]
    yield from _table(("", "model", "target", "precision", "size", "p50", "accuracy", "verdict"), rows)
    if summary.baseline:
        yield from ["", "### Against the baseline", "", *(f"- {_text(line)}" for line in summary.baseline)]


def _score(report: Report) -> str:
    comparison = report.comparison
    if comparison is None:
        return ""
    if comparison.score is not None:
        return f"{comparison.score.metric} {comparison.score.engine:.4g} (drop {comparison.score.drop:.2%})"
    return f"cosine {comparison.cosine:.6f}" if comparison.cosine is not None else ""


def _details(report: Report) -> Iterator[str]:
    yield from ["", f"<details><summary>{_MARKS[report.outcome]} {_text(report.title)}</summary>", ""]
    yield from _checks(report)
    if report.budgets:
        yield from ["", "**Budgets**", ""]
        yield from _table(("", "budget", "measured", "limit"), [_budget(row) for row in report.budgets])
    if report.comparison is not None:
        yield from ["", "**Drift of outputs**", ""]
        yield from _table(("feeds", "output", "cosine", "largest error", "SQNR", "top-1"), list(_drift(report)))
    if elsewhere := [check for check in report.checks if check.is_elsewhere]:
        yield from ["", "**Other processors** (instructions and numerics, not time)", ""]
        titles = ("", "processor", "golden inputs + samples", "smallest cosine", "largest error", "took here")
        yield from _table(titles, map(_elsewhere, elsewhere))
    if any(row.before or row.changed for row in report.passes):
        yield from ["", "**Passes**", ""]
        head = ("pass", "weights before", "after", "activations before", "after")
        yield from _table(head, [(f"`{row.name}`", *_sizes(row.before, row.after)) for row in report.passes])
    if report.placement and report.placement.elsewhere:
        yield from ["", f"**{report.placement.elsewhere} of {report.placement.nodes} nodes run elsewhere**", ""]
    if report.unproven:
        yield from ["", "**Not proven**", ""]
        yield from (
            f"- {_text(row.what)}" + (f" — {_text(row.prove_by)}" if row.prove_by else "") for row in report.unproven
        )
    yield from ["", "</details>"]


def _elsewhere(check: Check) -> tuple[str, ...]:
    figures = check.figures
    fed = f"{figures['golden']:g} + {figures['samples']:g}" if "golden" in figures else ""
    cosine = f"{figures['cosine']:.6f}" if "cosine" in figures else ""
    error = f"{figures['max_abs']:.3g}" if "max_abs" in figures else ""
    took = format_seconds(figures["seconds"]) if "seconds" in figures else ""
    return _MARKS[check.outcome], _text(check.title), fed, cosine, error, took


def _checks(report: Report) -> Iterator[str]:
    for check in report.checks:
        if check.outcome != "passed":
            helps = f" What helps: {_text(check.fix)}" if check.fix else ""
            nodes = f" Nodes: {', '.join(f'`{_text(name)}`' for name in check.nodes)}." if check.nodes else ""
            yield f"- {_MARKS[check.outcome]} **{_text(check.title)}**: {_text(check.message)}.{nodes}{helps}"
    passed = sum(check.outcome == "passed" for check in report.checks)
    if passed:
        yield f"- {_MARKS['passed']} {counted(passed, 'check')} passed"


def _budget(verdict: Verdict) -> tuple[str, ...]:
    mark = {"held": "✅", "missed": "❌", "unverified": "⚠️"}[verdict.status]
    measured = "" if verdict.measured is None else format_quantity(verdict.measured, verdict.unit)
    return mark, f"`{verdict.name}`", measured, format_quantity(verdict.limit, verdict.unit)


def _drift(report: Report) -> Iterator[tuple[str, ...]]:
    assert report.comparison is not None
    for trial in report.comparison.trials:
        for row in trial.differences:
            top1 = "" if row.top1 is None else f"{row.top1:.2%}"
            noise = "exact" if row.sqnr_db == float("inf") else f"{row.sqnr_db:.1f} dB"
            yield (
                f"{trial.feeds} {trial.origin}, {_text(trial.shape)}",
                f"`{_text(row.output)}`",
                f"{row.cosine:.6f}",
                f"{row.max_abs:.3g}",
                noise,
                top1,
            )


def _sizes(before: Footprint | None, after: Footprint | None) -> tuple[str, ...]:
    def pair(name: str) -> tuple[str, str]:
        values = [getattr(side, name) if side else None for side in (before, after)]
        one, other = ("" if value is None else format_bytes(value) for value in values)
        return one, other

    return (*pair("weights"), *pair("activations"))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _text(text: str) -> str:
    """On one line, with nothing that markdown or HTML would take for its own."""
    line = " ".join(text.split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_|\[\]#~@])", r"\\\1", line)
