"""The plot of blame: one self-contained page, bars of all layers and the histograms of the worst ones."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgetool.disk import replace_file

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --faint: #d0d7de; --bar: #0969da; --bad: #bc4c00; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --paper: #0d1117; --faint: #30363d; --bar: #58a6ff; --bad: #ffa657; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
  max-width: 60rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
th, td { text-align: left; padding: 0.25rem 0.6rem; border-bottom: 1px solid var(--faint); vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.layer { border-top: 1px solid var(--faint); padding-top: 0.5rem; }
.pair { display: flex; flex-wrap: wrap; gap: 1.5rem; }
figure { margin: 0; flex: 1 1 18rem; }
figcaption { font-size: 0.85rem; }
svg { width: 100%; height: auto; display: block; }
rect.bar { fill: var(--bar); } rect.bad { fill: var(--bad); } line { stroke: var(--faint); }
svg text { fill: var(--ink); font-size: 10px; }
@media print { body { margin: 0; } .layer { break-inside: avoid; } }
"""


def write_page(path: Path, found: Mapping[str, Any], *, title: str) -> None:
    """Write what `Blame.to_json` says as HTML. Raises HostError."""
    replace_file(path, _page(found, title).encode())


def _page(found: Mapping[str, Any], title: str) -> str:
    layers = found["layers"]
    drawn = [row for row in layers if row["activations"] is not None]
    return "".join(
        [
            "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
            "<meta name='viewport' content='width=device-width, initial-scale=1'>",
            f"<title>blame: {html.escape(title)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>Which layers lose the accuracy: {html.escape(title)}</h1>",
            f"<p>{_decibel(found['outputs_db'])} of signal over error at the outputs, over {found['samples']} samples;",
            " 20 dB less is ten times the error.</p>",
            _table(layers[:40]),
            "".join(_layer(row) for row in drawn),
            "</body></html>\n",
        ]
    )


def _table(layers: Sequence[Mapping[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(row['layer'])}</td><td>{html.escape(row['op_type'])}</td>"
        f"<td class='number'>{_decibel(row['output_db']) if row['output_db'] is not None else ''}</td>"
        f"<td class='number'>{_decibel(row['alone_db'])}</td><td class='number'>{_decibel(row['cumulative_db'])}</td>"
        f"<td>{row['cause']}</td><td>{html.escape(row['fix'])}</td></tr>"
        for row in layers
    )
    return (
        "<table><caption>The worst first. <em>outputs</em>: only this layer compressed. <em>alone</em>: what it adds"
        " itself. <em>here</em>: with all errors before it.</caption><thead><tr><th scope='col'>layer</th>"
        "<th scope='col'>operator</th><th scope='col' class='number'>outputs</th>"
        "<th scope='col' class='number'>alone</th><th scope='col' class='number'>here</th><th scope='col'>cause</th>"
        f"<th scope='col'>what would help</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def _layer(row: Mapping[str, Any]) -> str:
    figures = [_figure("weights", row["weights"]), _figure("input", row["activations"])]
    return (
        f"<section class='layer'><h2>{html.escape(row['layer'])}</h2><p>{html.escape(row['op_type'])}: "
        f"{html.escape(row['fix'])}</p><div class='pair'>{''.join(figures)}</div></section>"
    )


def _figure(what: str, histogram: Mapping[str, Any] | None) -> str:
    if histogram is None or not any(histogram["counts"]):
        return ""
    outliers = histogram["largest"] / histogram["rms"] if histogram["rms"] else 0.0
    caption = f"{what}: rms {histogram['rms']:.3g}, largest {histogram['largest']:.3g} ({outliers:.1f} x rms)"
    return f"<figure>{svg_histogram(histogram, label=caption)}<figcaption>{html.escape(caption)}</figcaption></figure>"


def svg_histogram(histogram: Mapping[str, Any], *, label: str) -> str:
    """Bars of the counts' logarithms, so that outliers show; bins beyond 8 x rms in another colour."""
    import math

    counts, low, high = histogram["counts"], histogram["low"], histogram["high"]
    tallest = math.log1p(max(counts))
    width, height = 320, 110
    step = width / len(counts)
    bars = []
    for at, count in enumerate(counts):
        if not count:
            continue
        middle = low + (at + 0.5) * (high - low) / len(counts)
        kind = "bad" if abs(middle) > 8 * histogram["rms"] else "bar"
        tall = height * math.log1p(count) / tallest
        place = f"x='{at * step:.1f}' y='{height - tall:.1f}'"
        bars.append(f"<rect class='{kind}' {place} width='{step * 0.9:.1f}' height='{tall:.1f}'/>")
    return (
        f"<svg viewBox='0 0 {width} {height + 14}' role='img' aria-label='{html.escape(label)}'>{''.join(bars)}"
        f"<line x1='0' y1='{height}' x2='{width}' y2='{height}'/><text x='0' y='{height + 11}'>{low:.3g}</text>"
        f"<text x='{width}' y='{height + 11}' text-anchor='end'>{high:.3g}</text></svg>"
    )


def _decibel(value: float | None) -> str:
    return "exact" if value is None else f"{value:.1f} dB"
