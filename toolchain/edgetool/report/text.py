"""Results as plain text for a terminal: differences, latencies, budgets."""

from __future__ import annotations

import math
from collections.abc import Iterable

from edgetool.cli.table import table
from edgetool.config.units import format_seconds
from edgetool.validate.budgets import Verdict, format_quantity
from edgetool.validate.comparison import Comparison, Trial
from edgetool.validate.difference import Difference
from edgetool.validate.latency import Latency, Timing

_MARKS = {"failure": "FAILED", "unproven": "unverified", "remark": "note"}


def comparison_text(comparison: Comparison) -> str:
    """One row an output and group of feeds, the task metric, then what was found."""
    rows = [(_feeds(trial), *_figures(found)) for trial in comparison.trials for found in trial.differences]
    lines = [table(rows, headers=("feeds", "output", "cosine", "worst", "SQNR", "max error", "top-1"))]
    if comparison.score is not None:
        score = comparison.score
        lines.append(
            f"{score.metric}: {score.engine:.4g}, reference {score.reference:.4g}, "
            f"drop {format_quantity(score.drop, 'share')}"
        )
    if not comparison.deterministic:
        lines.append(f"two runs on the same feed differ by up to {comparison.repeat_difference:.3g}")
    lines += [f"{_MARKS[finding.kind]}: {finding}" for finding in comparison.findings]
    lines.append(f"validation: {comparison.status}")
    return "\n".join(lines)


def latency_text(latency: Latency) -> str:
    """Both sides' percentiles, and whether the engine pays here; of one side alone its percentiles."""
    sides = (("engine", latency.engine), ("reference", latency.reference))
    rows = [_timing(name, side) for name, side in sides if side is not None]
    lines = [table(rows, headers=("", "p50", "p90", "p99", "runs", "spread")), _pays(latency)]
    if not latency.settled:
        lines.append(f"the windows did not agree within {latency.seconds:.2g} s; --latency-time measures longer")
    return "\n".join(lines)


def _pays(latency: Latency) -> str:
    if latency.verdict is None:
        return "measured on the device, where the float reference does not run"
    ratio = f"{latency.speedup:.2f}x (±{latency.speedup_spread:.0%})"
    return {
        "faster": f"{ratio} as fast as float here",
        "slower": f"slower than float here: {ratio}",
        "no difference": f"no faster than float here, as far as this measurement tells: {ratio}",
    }[latency.verdict]


def verdicts_text(verdicts: Iterable[Verdict]) -> str:
    """One row a budget."""
    rows = []
    for verdict in verdicts:
        measured = "-" if verdict.measured is None else format_quantity(verdict.measured, verdict.unit)
        status = verdict.status + (f" ({verdict.reason})" if verdict.reason else "")
        rows.append((verdict.name, format_quantity(verdict.limit, verdict.unit), measured, status))
    return table(rows, headers=("budget", "limit", "measured", "verdict")) if rows else "no budgets declared"


def _feeds(trial: Trial) -> str:
    return f"{trial.feeds} samples" if trial.origin == "evaluation" else f"{trial.origin} {trial.shape}"


def _figures(found: Difference) -> tuple[str, ...]:
    if found.integral:
        return (found.output, f"{found.equal:.2%} equal", "", "", f"{found.max_abs:.3g}", "")
    sqnr = "same" if math.isinf(found.sqnr_db) and found.sqnr_db > 0 else f"{found.sqnr_db:.1f} dB"
    top1 = "" if found.top1 is None else f"{found.top1:.4f}"
    return (found.output, f"{found.cosine:.6f}", f"{found.cosine_worst:.6f}", sqnr, f"{found.max_abs:.3g}", top1)


def _timing(name: str, side: Timing) -> tuple[str, ...]:
    return (name, *map(format_seconds, (side.p50, side.p90, side.p99)), str(side.runs), f"±{side.spread:.0%}")
