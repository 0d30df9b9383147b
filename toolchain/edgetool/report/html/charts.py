"""Drawings as SVG in the page: each says in words what it shows, for whoever does not see it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgetool.config.units import format_seconds
from edgetool.report.html.markup import text
from edgetool.validate.latency import Latency, Timing

_WIDTH, _HEIGHT = 640, 180
_LEFT, _BOTTOM = 44, 34
_TYPICAL = 3
"""Times the median, beyond which a run was disturbed by something else."""


def bar(share: float, *, outcome: str, label: str) -> str:
    """How much of a limit is used: 1 is all of it, more runs over the mark.

    Args:
        share: measured over limit.
        outcome: class that colours it.
        label: in words.
    """
    full = max(1.0, min(share, 4.0))
    used, mark = min(max(share, 0.0), 4.0) / full * 100, 100 / full
    return (
        f'<svg class="bar {outcome}" viewBox="0 0 100 6" preserveAspectRatio="none" role="img"'
        f' aria-label="{text(label)}">'
        f'<rect class="track" width="100" height="6"/><rect class="fill" width="{used:.2f}" height="6"/>'
        f'<line class="mark" x1="{mark:.2f}" y1="0" x2="{mark:.2f}" y2="6"/></svg>'
    )


def latencies(latency: Latency) -> str:
    """What share of all runs was done within which time, engine and reference. Empty without quantiles."""
    sides = [("engine", latency.engine)] + ([("reference", latency.reference)] if latency.reference else [])
    drawn = [(name, side) for name, side in sides if len(side.quantiles) > 1]
    if not drawn:
        return ""
    # Slow runs may be far out: the axis ends where most runs are, and the table names the slowest.
    low = min(side.quantiles[0] for _, side in drawn)
    high = max(min(side.quantiles[-2], _TYPICAL * side.p50) for _, side in drawn)
    if high <= low:
        high = low * 1.1 or 1e-9
    lines = "".join(_line(name, side, low, high) for name, side in drawn)
    words = "; ".join(
        f"{name}: half within {format_seconds(side.p50)}, 99 % within {format_seconds(side.p99)}"
        for name, side in drawn
    )
    return (
        f'<figure><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{text(words)}">{_axes(low, high)}{lines}'
        f"</svg><figcaption>Share of runs that were done within a time. {_legend([name for name, _ in drawn])}"
        "</figcaption></figure>"
    )


def _line(name: str, side: Timing, low: float, high: float) -> str:
    steps = len(side.quantiles) - 1
    points = [(_x(value, low, high), _y(place / steps)) for place, value in _inside(side, high)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="{name}" points="{path}"/>'


def _inside(side: Timing, high: float) -> Iterator[tuple[float, float]]:
    """Places and values of the quantiles up to the axis's end, and of the point where the curve crosses that."""
    before = side.quantiles[0]
    for at, value in enumerate(side.quantiles):
        if value > high:
            yield at - (value - high) / (value - before), high
            return
        yield at, value
        before = value


def _axes(low: float, high: float) -> str:
    parts = []
    for share in (0.0, 0.5, 1.0):
        y = _y(share)
        parts.append(f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{share:.0%}</text>')
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        value = low + share * (high - low)
        anchor = "end" if share == 1 else "start" if share == 0 else "middle"
        place = f'x="{_x(value, low, high):.1f}" y="{_HEIGHT - 10}" text-anchor="{anchor}"'
        parts.append(f"<text {place}>{format_seconds(value)}</text>")
    return "".join(parts)


def _legend(names: Sequence[str]) -> str:
    return " ".join(f'<span class="key {name}">{name}</span>' for name in names)


def _x(value: float, low: float, high: float) -> float:
    return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - 4)


def _y(share: float) -> float:
    return 6 + (1 - share) * (_HEIGHT - _BOTTOM - 6)


def levels(values: Sequence[tuple[str, float, str]], *, caption: str) -> str:
    """Horizontal bars, one a row, with words beside each; the longest fills the width.

    Args:
        values: name, length, and what is said of it; nothing below 0 is drawn.
        caption: what the lengths are.
    """
    longest = max((length for _, length, _ in values), default=0.0)
    if longest <= 0:
        return ""
    rows = "".join(_level(name, max(length, 0) / longest, said) for name, length, said in values)
    return f'<figure class="levels"><figcaption>{text(caption)}</figcaption>{rows}</figure>'


def _level(name: str, share: float, said: str) -> str:
    return (
        f'<div class="level"><span>{text(name)}</span><svg viewBox="0 0 100 6" preserveAspectRatio="none"'
        f' aria-hidden="true"><rect class="fill" width="{share * 100:.2f}" height="6"/></svg>'
        f'<span class="number">{text(said)}</span></div>'
    )
