"""The page: the verdict over all, a table where there are several builds, then each of them."""

from __future__ import annotations

import edgetool
from edgetool.config.units import format_bytes, format_seconds
from edgetool.report.document import Report, Summary
from edgetool.report.html import sections
from edgetool.report.html.elsewhere import elsewhere
from edgetool.report.html.markup import badge, pairs, table, text
from edgetool.report.html.style import STYLE

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def render(summary: Summary) -> str:
    """The whole document. It runs no script and loads nothing, and forbids both to whatever got into it."""
    title = summary.reports[0].title if len(summary.reports) == 1 else f"{len(summary.reports)} builds"
    return "".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{text(summary.outcome)}: {text(title)}</title><style>{STYLE}</style></head><body>",
            '<a class="skip" href="#main">Skip to the content</a>',
            f'<header><h1>{badge(summary.outcome)} {text(title)}</h1></header><main id="main">',
            _overview(summary) if len(summary.reports) > 1 else "",
            _baseline(summary),
            *(_report(report, at, alone=len(summary.reports) == 1) for at, report in enumerate(summary.reports)),
            f"</main><footer><p>edgetool {text(edgetool.__version__)}</p></footer></body></html>\n",
        ]
    )


def _overview(summary: Summary) -> str:
    rows = [
        (
            badge(report.outcome),
            f'<a href="#report-{at}">{text(f"{report.model} {report.version}")}</a>',
            text(report.target),
            text(report.precision),
            text(format_bytes(report.size) if report.size is not None else ""),
            text(format_seconds(report.latency.engine.p50) if report.latency else ""),
            text(report.headline),
        )
        for at, report in enumerate(summary.reports)
    ]
    head = ("", "model", "target", "precision", "size", "p50", "verdict")
    return f'<nav aria-label="builds">{table("All builds", head, rows, numbers=(4, 5))}</nav>'


def _baseline(summary: Summary) -> str:
    rows = "".join(f"<li>{text(row)}</li>" for row in summary.baseline)
    return f"<section><h2>Against the baseline</h2><ul>{rows}</ul></section>" if rows else ""


def _report(report: Report, at: int, *, alone: bool) -> str:
    heading = "" if alone else f"<h2>{badge(report.outcome)} {text(report.title)}</h2>"
    return "".join(
        [
            f'<article id="report-{at}" aria-label="{text(report.title)}">{heading}',
            f'<p class="headline">{text(report.headline)}</p>',
            _figures(report),
            sections.checks(report),
            sections.budgets(report),
            sections.accuracy(report) if report.error is None else "",
            elsewhere(report),
            sections.latency(report) if report.error is None else "",
            sections.passes(report),
            sections.memory(report),
            sections.placement(report),
            sections.blame(report),
            sections.unproven(report),
            sections.environment(report),
            "</article>",
        ]
    )


def _figures(report: Report) -> str:
    comparison = report.comparison
    score = ""
    if comparison is not None and comparison.score is not None:
        score = f"{comparison.score.engine:.4g} ({comparison.score.drop:.2%} lost)"
    elif comparison is not None and comparison.cosine is not None:
        score = f"cosine {comparison.cosine:.6f}"
    return pairs(
        (
            ("precision", text(report.precision)),
            ("runtime", text(" ".join(filter(None, (report.backend, report.runtime))))),
            ("size", text(format_bytes(report.size)) if report.size is not None else ""),
            ("p50", text(format_seconds(report.latency.engine.p50)) if report.latency else ""),
            ("accuracy", text(score)),
        )
    )
