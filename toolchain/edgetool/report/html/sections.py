"""The sections of one report, in the order in which a reader asks: is it good, how good, why, and what is open."""

from __future__ import annotations

import math
from collections.abc import Iterator

from edgetool.artifact import JsonValue
from edgetool.blame.findings import LayerBlame
from edgetool.blame.page import svg_histogram
from edgetool.config.units import format_bytes, format_seconds
from edgetool.plain_text import counted
from edgetool.report.document import Footprint, Outcome, Report
from edgetool.report.html.charts import bar, latencies, levels
from edgetool.report.html.markup import badge, folded, pairs, section, table, text
from edgetool.validate.budgets import Verdict, format_quantity
from edgetool.validate.latency import Timing

_OF_VERDICT: dict[str, Outcome] = {"held": "passed", "missed": "failed", "unverified": "unverified"}
_AT_LEAST = frozenset({"min_metric", "min_cosine", "min_sqnr_db", "min_agreement", "min_speedup"})
_DRAWN_LAYERS = 40
_DECIBELS = 100.0


def checks(report: Report) -> str:
    """What is not in order first, each with what helps; what passed is folded."""
    open_rows = [row for row in report.checks if row.outcome != "passed"]
    items = "".join(
        f"<li>{badge(row.outcome)} <strong>{text(row.title)}</strong>: {text(row.message)}"
        + (f'<br><span class="fix">What helps: {text(row.fix)}</span>' if row.fix else "")
        + (f"<br>Nodes: {text(', '.join(row.nodes[:20]))}" if row.nodes else "")
        + "</li>"
        for row in open_rows
    )
    passed = [row for row in report.checks if row.outcome == "passed"]
    fine = "".join(f"<li>{text(row.title)}: {text(row.message)}</li>" for row in passed)
    return section(
        "Verdict",
        f'<ul class="checks">{items}</ul>' if items else "",
        folded(f"{counted(len(passed), 'check')} passed", f"<ul>{fine}</ul>") if fine else "",
    )


def budgets(report: Report) -> str:
    """Each limit with a bar: how much of it is used."""
    rows = [
        (
            badge(_OF_VERDICT[row.status]),
            f"<code>{text(row.name)}</code>",
            text("–" if row.measured is None else format_quantity(row.measured, row.unit)),
            text(("at least " if row.name in _AT_LEAST else "at most ") + format_quantity(row.limit, row.unit)),
            _used(row),
        )
        for row in report.budgets
    ]
    caption = "Declared limits and what was measured; the mark in a bar is the limit"
    return section("Budgets", table(caption, ("", "budget", "measured", "limit", "used"), rows, numbers=(2, 3)))


def _used(row: Verdict) -> str:
    if row.measured is None or not math.isfinite(row.measured):
        return text(row.reason or "")
    if row.limit == 0:
        share = 0.0 if row.measured <= 0 else 2.0
    else:
        share = row.limit / row.measured if row.name in _AT_LEAST and row.measured else row.measured / row.limit
    return bar(share, outcome=_OF_VERDICT[row.status], label=f"{max(share, 0):.0%} of the limit")


def accuracy(report: Report) -> str:
    """The task metric, then how far each output drifts from the reference's."""
    comparison = report.comparison
    if comparison is None:
        return section("Accuracy", "<p>The engine was not run, so nothing is known about its numbers.</p>")
    score = ""
    if comparison.score is not None:
        found = comparison.score
        score = pairs(
            (
                (found.metric, text(f"{found.engine:.4g}")),
                ("float reference", text(f"{found.reference:.4g}")),
                ("drop", text(f"{found.drop:.2%}")),
            )
        )
    rows = [
        (
            text(f"{trial.feeds} {trial.origin}, {trial.shape}"),
            f"<code>{text(row.output)}</code>",
            text(f"{row.cosine:.6f}"),
            text(f"{row.max_abs:.3g}"),
            text("exact" if math.isinf(row.sqnr_db) else f"{row.sqnr_db:.1f} dB"),
            text("" if row.top1 is None else f"{row.top1:.2%}"),
        )
        for trial in comparison.trials
        for row in trial.differences
    ]
    head = ("feeds", "output", "cosine", "largest error", "signal over noise", "same top-1")
    notes = "".join(f"<li>{text(row)}</li>" for row in report.findings)
    return section(
        "Accuracy and drift",
        score,
        table("Engine against the float reference, output by output", head, rows, numbers=(2, 3, 4, 5)),
        f"<ul>{notes}</ul>" if notes else "",
    )


def latency(report: Report) -> str:
    """The distribution, the percentiles, and whether compression pays here."""
    found = report.latency
    if found is None:
        return section("Latency", f"<p>Not measured: {text(report.measured.get('why_not', 'nothing ran here'))}.</p>")
    rows = [_timing("engine", found.engine)] + (
        [_timing("float reference", found.reference)] if found.reference else []
    )
    said = ""
    if found.speedup is not None and found.speedup_spread is not None:
        word = {"faster": "faster than", "slower": "slower than", "no difference": "as fast, as far as can be told, as"}
        ratio = f"{found.speedup:.2f} times (±{found.speedup_spread:.0%})"
        said = f"<p>{text(word[found.verdict or 'no difference'].capitalize())} the float reference: {text(ratio)}.</p>"
    where = ", ".join(
        text(report.measured[key]) for key in ("device", "cpu", "measured_at") if report.measured.get(key)
    )
    settled = "" if found.settled else "<p>The measurement had not settled when its time was up.</p>"
    head = ("", "p50", "p90", "p99", "slowest", "runs", "spread")
    return section(
        "Latency",
        said,
        latencies(found),
        table("Time of one inference", head, rows, numbers=(1, 2, 3, 4, 5, 6)),
        settled,
        f"<p>Measured on {where}.</p>" if where else "",
    )


def _timing(name: str, side: Timing) -> tuple[str, ...]:
    times = (side.p50, side.p90, side.p99, side.longest)
    return (text(name), *(text(format_seconds(value)) for value in times), text(side.runs), text(f"±{side.spread:.0%}"))


def passes(report: Report) -> str:
    """What each pass of the recipe did to size and memory."""
    rows = [
        (
            f"<code>{text(row.name)}</code>",
            text("" if row.changed else "nothing to do"),
            *_sizes(row.before, row.after),
        )
        for row in report.passes
    ]
    head = ("pass", "", "weights before", "after", "activations before", "after")
    details = (
        folded(f"{row.name}: options and results", pairs((name, text(value)) for name, value in said.items()))
        for row in report.passes
        if (said := {**row.options, **row.facts})
    )
    lowered = "".join(f"<li>{text(row)}</li>" for row in report.lowerings)
    return section(
        "Passes",
        table("Size and memory before and after each pass", head, rows, numbers=(2, 3, 4, 5)),
        *details,
        f"<p>Rewritten for the runtime:</p><ul>{lowered}</ul>" if lowered else "",
        _total(report),
    )


def _sizes(before: Footprint | None, after: Footprint | None) -> Iterator[str]:
    for name in ("weights", "activations"):
        for side in (before, after):
            value = getattr(side, name) if side else None
            yield text("" if value is None else format_bytes(value))


def _total(report: Report) -> str:
    return pairs(
        (
            ("engine's files", text(format_bytes(report.size)) if report.size is not None else ""),
            ("peak memory", text(format_bytes(report.peak_memory)) if report.peak_memory is not None else ""),
        )
    )


def memory(report: Report) -> str:
    """What it takes of the target's memories, and the tensors that make the peak."""
    rows = [
        (
            badge("passed" if row.fits else "failed"),
            f"<code>{text(row.name)}</code>",
            text(format_bytes(row.need)),
            text(format_bytes(row.limit)),
            text(row.parts),
            bar(row.need / row.limit if row.limit else 2.0, outcome="passed" if row.fits else "failed",
                label=f"{row.need / row.limit if row.limit else 2:.0%} of {row.name}"),
        )
        for row in report.fits
    ]  # fmt: skip
    peak = report.memory_peak
    tensors = [(f"<code>{text(name)}</code>", text(format_bytes(size))) for name, size in peak.tensors] if peak else []
    where = f"at <code>{text(peak.node)}</code>" if peak and peak.node else "with the inputs"
    said = f"<p>Activations need {text(format_bytes(peak.nbytes))} at their peak, {where}.</p>" if peak else ""
    head = ("", "memory", "needed", "there is", "of which", "used")
    largest = table("The largest tensors that are alive then", ("tensor", "size"), tensors, numbers=(1,))
    return section(
        "Fit",
        table("Needed at least, and what the target has", head, rows, numbers=(2, 3)),
        said,
        folded("Tensors at the peak", largest),
    )


def placement(report: Report) -> str:
    """How many nodes run where they should, and the others by name."""
    found = report.placement
    if found is None:
        return ""
    here = found.nodes - found.elsewhere
    share = here / found.nodes if found.nodes else 1.0
    label = f"{here} of {found.nodes} nodes on {found.accelerator}"
    outcome = "passed" if not found.elsewhere else "unverified"
    rows = [
        (f"<code>{text(row.get('name', ''))}</code>", text(row.get("op_type", "")), text(row.get("place", "")),
         text(row.get("reason") or ""))
        for row in found.rows
    ]  # fmt: skip
    return section(
        "Node placement",
        f"<p>{text(label)}</p>{bar(share, outcome=outcome, label=label)}",
        table("Nodes that run elsewhere", ("node", "operator", "where", "why"), rows),
    )


def blame(report: Report) -> str:
    """Error by layer, where it was asked for; else how to get it."""
    found = report.blame
    if found is None:
        if report.precision in ("", "float32"):
            return ""
        command = f"edgetool blame --target {report.target} --json > blame.json"
        return section(
            "Error by layer",
            f"<p>Not in this report. <code>{text(command)}</code> finds it out, and <code>edgetool report --blame"
            " blame.json</code> puts it here.</p>",
        )
    shown = found.layers[:_DRAWN_LAYERS]
    # The bar shows noise, so that the worst layer has the longest one; the rounding of floats is none.
    noise = [
        (row.layer, _DECIBELS - row.error.alone, _decibel(row.error.alone))
        for row in shown
        if row.error.alone < _DECIBELS
    ]
    drawn = "".join(_histograms(row) for row in shown if row.activations is not None)
    rows = [
        (f"<code>{text(row.layer)}</code>", text(row.op_type), text(_decibel(row.error.alone)),
         text(_decibel(row.error.cumulative)), text(row.cause), text(row.fix))
        for row in found.layers
    ]  # fmt: skip
    head = ("layer", "operator", "alone", "with all before it", "cause", "what would help")
    return section(
        "Error by layer",
        levels(noise, caption="Error that a layer adds itself, with its signal over error beside it: longer is worse"),
        table("Signal over noise by layer, the worst first", head, rows, numbers=(2, 3)),
        folded("Histograms of the worst layers", drawn),
    )


def _histograms(row: LayerBlame) -> str:
    sides = (("weights", row.weights), ("activations", row.activations))
    figures = "".join(
        f"<figure>{svg_histogram(side.to_json(), label=what)}<figcaption>{what}</figcaption></figure>"
        for what, side in sides
        if side is not None and any(side.counts)
    )
    return f"<h4>{text(row.layer)}</h4><p>{text(row.op_type)}: {text(row.fix)}</p><div class='pair'>{figures}</div>"


def _decibel(value: float | None) -> str:
    return "exact" if value is None or math.isinf(value) else f"{value:.1f} dB"


def unproven(report: Report) -> str:
    """What nobody may take for granted, and the command that proves it."""
    rows = "".join(
        f"<li>{text(row.what)}"
        + (f"<br>To prove it: <code>{text(row.prove_by)}</code>" if row.prove_by else "")
        + "</li>"
        for row in report.unproven
    )
    stand = ""
    if report.stands_in_for:
        names = ", ".join(report.stands_in_for)
        stand = f"<p>This build stands in for {text(names)}: it proves nothing for their own hardware.</p>"
    return section("Not proven", stand, f"<ul>{rows}</ul>" if rows else "")


def environment(report: Report) -> str:
    """What it was made of, and by which versions."""
    tensors = [row for kind in ("inputs", "outputs") for row in _tensors(report.signature.get(kind), kind[:-1])]
    source = ((key, text(report.source.get(key) or "")) for key in ("text", "sha256", "importer", "license"))
    return section(
        "Environment",
        table("Inputs and outputs", ("", "name", "type", "shape"), tensors),
        folded("Source", pairs(source)),
        folded("Target", pairs((name, text(value)) for name, value in report.facts.items())),
        folded("Tools", pairs((name, text(version)) for name, version in report.environment.items())),
        folded("Machine", pairs((name, text(value)) for name, value in report.measured.items())),
        pairs((("content", f"<code>{text(report.content_digest)}</code>" if report.content_digest else ""),)),
    )


def _tensors(rows: JsonValue, kind: str) -> Iterator[tuple[str, ...]]:
    for row in rows if isinstance(rows, (list, tuple)) else ():
        if isinstance(row, dict):
            shape = row.get("shape")
            dims = " × ".join(map(str, shape)) if isinstance(shape, (list, tuple)) else ""
            yield kind, f"<code>{text(row.get('name'))}</code>", text(row.get("dtype")), text(dims)
