"""The section on processors that are not this machine's own: emulated, or with instruction sets masked."""

from __future__ import annotations

from edgetool.config.units import format_seconds
from edgetool.report.document import Check, Report
from edgetool.report.html.markup import badge, section, table, text

_PROVES = (
    "An emulated or masked processor proves that the instructions are there and what they compute. "
    "It proves nothing about time: no latency was taken on it."
)


def elsewhere(report: Report) -> str:
    """One row a processor; why, and what helps, is with the checks."""
    rows = [_row(check) for check in report.checks if check.is_elsewhere]
    head = ("", "processor", "golden inputs", "samples", "smallest cosine", "largest error", "took here")
    caption = "The same engine on other processors, compared with its outputs on this one"
    shown = table(caption, head, rows, numbers=(2, 3, 4, 5, 6))
    return section("Other processors", shown, f"<p>{text(_PROVES)}</p>" if rows else "")


def _row(check: Check) -> tuple[str, ...]:
    figures = check.figures
    counts = (f"{figures[name]:g}" if name in figures else "" for name in ("golden", "samples"))
    cosine = f"{figures['cosine']:.6f}" if "cosine" in figures else ""
    error = f"{figures['max_abs']:.3g}" if "max_abs" in figures else ""
    took = format_seconds(figures["seconds"]) if "seconds" in figures else ""
    return (badge(check.outcome), text(check.title), *map(text, (*counts, cosine, error, took)))
