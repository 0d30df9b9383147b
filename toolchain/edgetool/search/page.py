"""The plot of a search: one self-contained page, all recipes by what they cost and what they gain, and a table."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgetool.config.units import format_bytes, format_seconds
from edgetool.disk import replace_file
from edgetool.search.pick import Standing
from edgetool.search.point import format_value
from edgetool.search.report import conclusion, loss_text, ordered
from edgetool.search.tune import Tuned

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --faint: #d0d7de; --soft: #656d76;
  --good: #1a7f37; --bad: #bc4c00; --line: #0969da; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --paper: #0d1117; --faint: #30363d; --soft: #8d96a0;
    --good: #3fb950; --bad: #ffa657; --line: #58a6ff; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
  max-width: 66rem; padding: 0 1rem; }
p.answer { font-size: 1.1rem; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
th, td { text-align: left; padding: 0.25rem 0.6rem; border-bottom: 1px solid var(--faint); vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.chosen td { font-weight: 600; }
caption { text-align: left; color: var(--soft); padding-bottom: 0.4rem; }
svg { width: 100%; height: auto; display: block; margin: 1rem 0; }
svg text { fill: var(--ink); font-size: 12px; paint-order: stroke; stroke: var(--paper); stroke-width: 3px; }
svg text.axis { fill: var(--soft); }
line.grid { stroke: var(--faint); } line.limit { stroke: var(--bad); stroke-dasharray: 6 4; }
polyline { fill: none; stroke: var(--line); stroke-width: 1.5; }
.holds { fill: var(--good); } .rejected { fill: var(--bad); }
.chosen { fill: var(--good); stroke: var(--ink); stroke-width: 2; }
svg text.chosen { stroke: var(--paper); stroke-width: 3px; fill: var(--ink); font-weight: 600; }
@media print { body { margin: 0; } tr { break-inside: avoid; } }
"""

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 900, 420, 70, 24, 16, 44
_BEYOND = 3.0
"""Losses of more than so many times the limit are drawn at the upper edge: they would squeeze all others flat."""


def write_page(path: Path, tuned: Tuned, *, title: str) -> None:
    """Write the outcome as HTML. Raises HostError."""
    replace_file(path, _page(tuned, title).encode())


def _page(tuned: Tuned, title: str) -> str:
    first, *more = conclusion(tuned)
    return "".join(
        [
            "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
            "<meta name='viewport' content='width=device-width, initial-scale=1'>",
            f"<title>tune: {html.escape(title)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>What each recipe gains and costs: {html.escape(title)}</h1>",
            f"<p class='answer'>{html.escape(first)}</p>",
            f"<ul>{''.join(f'<li>{html.escape(text.strip())}</li>' for text in more)}</ul>" if more else "",
            f"<p>{html.escape(str(tuned.split))}.</p>",
            _plot(tuned),
            _table(tuned),
            "</body></html>\n",
        ]
    )


@dataclass(frozen=True, slots=True)
class _Mark:
    """One recipe in the plot."""

    standing: Standing
    value: float
    loss: float


def _marks(tuned: Tuned) -> list[_Mark]:
    found = []
    for row in tuned.pick.standings:
        value = row.point.value(tuned.objective)
        loss = row.point.trial.loss("chosen-by") if row.point.trial else None
        if value is not None and loss is not None:
            found.append(_Mark(row, value, loss))
    return found


@dataclass(frozen=True, slots=True)
class _Axes:
    """From figures to places in the drawing."""

    right: float
    low: float
    high: float

    def x(self, value: float) -> float:
        return _LEFT + value / self.right * (_WIDTH - _LEFT - _RIGHT)

    def y(self, loss: float) -> float:
        share = (min(loss, self.high) - self.low) / (self.high - self.low)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _plot(tuned: Tuned) -> str:
    marks = _marks(tuned)
    if not marks:
        return ""
    limit = _limit(tuned)
    highest = max(mark.loss for mark in marks)
    high = min(highest * 1.1, _BEYOND * limit) if limit and limit > 0 else highest * 1.1
    low = min(0.0, *(mark.loss for mark in marks)) * 1.1
    axes = _Axes(max(mark.value for mark in marks) * 1.08, low, max(high, low + 1e-6, (limit or 0.0) * 1.3))
    what = {"latency": "median latency", "size": "size of the engine", "memory": "peak memory"}[tuned.objective]
    return (
        f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT}' role='img' aria-label='loss over {what} of every recipe'>"
        f"{_grid(axes, tuned)}{_limit_line(axes, limit)}{_front(axes, marks, tuned)}"
        f"{''.join(_dot(axes, mark) for mark in marks)}{''.join(_labels(axes, marks, tuned))}"
        f"<text class='axis' x='{_WIDTH - _RIGHT}' y='{_HEIGHT - 6}' text-anchor='end'>{what}; the lower left is best"
        "</text></svg>"
    )


def _limit(tuned: Tuned) -> float | None:
    """Of the loss that is drawn."""
    scored = any(row.point.trial and row.point.trial.comparisons["chosen-by"].score for row in tuned.pick.standings)
    if scored:
        return tuned.budget.max_drop
    return None if tuned.budget.min_cosine is None else 1 - tuned.budget.min_cosine


def _grid(axes: _Axes, tuned: Tuned) -> str:
    unit = 1.0 if tuned.objective == "latency" else 1024.0 ** int(math.log(max(axes.right, 1.0), 1024))
    parts = []
    for loss in _ticks(axes.low, axes.high):
        y = axes.y(loss)
        parts.append(
            f"<line class='grid' x1='{_LEFT}' y1='{y:.1f}' x2='{_WIDTH - _RIGHT}' y2='{y:.1f}'/>"
            f"<text class='axis' x='{_LEFT - 8}' y='{y + 4:.1f}' text-anchor='end'>{loss * 100:.4g} %</text>"
        )
    for value in _ticks(0.0, axes.right / unit):
        shown = format_value(value * unit, tuned.objective) if value else "0"
        parts.append(
            f"<text class='axis' x='{axes.x(value * unit):.1f}' y='{_HEIGHT - _BOTTOM + 18}' text-anchor='middle'>"
            f"{shown}</text>"
        )
    return "".join(parts)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between two, four to nine of them."""
    rough = (high - low) / 5
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * share for share in (1, 2, 5, 10) if size * share >= rough)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _limit_line(axes: _Axes, limit: float | None) -> str:
    if limit is None:
        return ""
    y = axes.y(limit)
    return (
        f"<line class='limit' x1='{_LEFT}' y1='{y:.1f}' x2='{_WIDTH - _RIGHT}' y2='{y:.1f}'/>"
        f"<text class='axis' x='{_LEFT + 6}' y='{y - 6:.1f}'>the most that may be lost: {limit:.2%}</text>"
    )


def _front(axes: _Axes, marks: Sequence[_Mark], tuned: Tuned) -> str:
    places = {mark.standing.point.recipe.key: mark for mark in marks}
    front = [places[row.recipe.key] for row in tuned.front if row.recipe.key in places]
    points = " ".join(f"{axes.x(mark.value):.1f},{axes.y(mark.loss):.1f}" for mark in front)
    return f"<polyline points='{points}'/>" if len(front) > 1 else ""


def _dot(axes: _Axes, mark: _Mark) -> str:
    x, y, kind = axes.x(mark.value), axes.y(mark.loss), mark.standing.status
    title = f"<title>{html.escape(f'{mark.standing.point.name}: {mark.standing.reason}')}</title>"
    if mark.loss > axes.high:
        return f"<path class='{kind}' d='M{x - 6:.1f} {y + 9:.1f}h12l-6 -10z'>{title}</path>"
    return f"<circle class='{kind}' cx='{x:.1f}' cy='{y:.1f}' r='{7 if kind == 'chosen' else 5}'>{title}</circle>"


def _labels(axes: _Axes, marks: Sequence[_Mark], tuned: Tuned) -> list[str]:
    """Names of the chosen recipe and of those on the front, moved apart where they would cover each other."""
    shown = {row.recipe.key for row in tuned.front}
    named = [row for row in marks if row.standing.status == "chosen" or row.standing.point.recipe.key in shown]
    taken: list[float] = []
    found = []
    for mark in sorted(named, key=lambda row: axes.y(row.loss)):
        x, y = axes.x(mark.value), axes.y(mark.loss) + 4
        while any(abs(y - other) < 14 for other in taken):
            y += 14
        taken.append(y)
        left = x > _WIDTH * 0.6
        kind = " class='chosen'" if mark.standing.status == "chosen" else ""
        found.append(
            f"<text{kind} x='{x - 11 if left else x + 11:.1f}' y='{y:.1f}' text-anchor='{'end' if left else 'start'}'>"
            f"{html.escape(mark.standing.point.name)}</text>"
        )
    return found


def _table(tuned: Tuned) -> str:
    front = {row.recipe.key for row in tuned.front}
    rows = []
    for row in ordered(tuned):
        trial = row.point.trial
        cells = [html.escape(row.point.name) + (" *" if row.point.recipe.key in front else ""), row.status]
        figures = ["", "", "", "", ""]
        if trial is not None and trial.measurement is not None:
            latency = trial.measurement.latency
            figures = [
                f"{format_seconds(latency.engine.p50)} ±{latency.engine.spread:.0%}",
                "" if latency.speedup is None else f"{latency.speedup:.2f}x",
                format_bytes(trial.size),
                format_bytes(trial.measurement.peak_memory),
                loss_text(trial, "chosen-by"),
            ]
        rows.append(
            f"<tr class='{row.status.replace(' ', '-')}'>{''.join(f'<td>{cell}</td>' for cell in cells)}"
            f"{''.join(f'<td class=number>{figure}</td>' for figure in figures)}<td>{html.escape(row.reason)}</td></tr>"
        )
    heads = "".join(f"<th scope='col' class='number'>{name}</th>" for name in
                    ("p50", "speedup", "size", "memory", "loss"))  # fmt: skip
    return (
        "<table><caption>*: no other recipe is better in both. Losses are those on the samples that recipes are chosen"
        " by.</caption><thead><tr><th scope='col'>recipe</th><th scope='col'></th>"
        f"{heads}<th scope='col'>why</th></tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )
