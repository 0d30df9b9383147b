"""What the two engines cost: time, memory, size, and the nodes that miss the accelerator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgetool.config.units import format_bytes, format_seconds
from edgetool.diff.rows import NONE, Change, Row
from edgetool.diff.side import Side

SIZE_STEP = 0.01
"""Share by which a size may grow before that is called worse."""

MEMORY_STEP = 0.05
"""Share by which the peak of a process's memory differs from run to run."""

_SHOWN_NODES = 8


def speed(old: Side, new: Side) -> Iterator[Row]:
    """Latency with its scatter, and memory."""
    before, after = old.measurements.get("latency"), new.measurements.get("latency")
    elsewhere = _machine(old) != _machine(new)
    note = f"measured on {_machine(old)}, then on {_machine(new)}: not comparable" if elsewhere else ""
    if before and after:
        for name, key in (("p50", "p50_s"), ("p90", "p90_s"), ("p99", "p99_s")):
            yield _percentile(name, key, before["engine"], after["engine"], note)
        if before.get("speedup") is not None and after.get("speedup") is not None:
            yield _speedup(before, after, note)
    elif before or after:
        texts = [format_seconds(side["engine"]["p50_s"]) if side else NONE for side in (before, after)]
        yield Row(name="p50", old=texts[0], new=texts[1], change="changed", note="measured of one only", always=True)
    peaks = old.measurements.get("peak_memory_bytes"), new.measurements.get("peak_memory_bytes")
    if peaks[0] and peaks[1]:
        change = _grown(peaks[0], peaks[1], MEMORY_STEP, small="noise")
        if note and change != "same":
            change = "changed"
        yield Row(name="peak memory", old=format_bytes(peaks[0]), new=format_bytes(peaks[1]), change=change, note=note)


def size(old: Side, new: Side) -> Iterator[Row]:
    """Of the engine, and of the whole bundle."""
    for name, role in (("engine", "model"), ("bundle", None)):
        sums = [sum(row.size for row in side.manifest.files if role in (None, row.role)) for side in (old, new)]
        change: Change = _grown(sums[0], sums[1], SIZE_STEP, small="changed")
        if role is None and change in ("worse", "better"):
            change = "changed"  # the engine's own row has said it
        note = f"{(sums[1] - sums[0]) / sums[0]:+.1%}" if sums[0] and sums[0] != sums[1] else ""
        yield Row(name=name, old=format_bytes(sums[0]), new=format_bytes(sums[1]), change=change, note=note,
                  values=(sums[0], sums[1]), always=role is not None)  # fmt: skip


def placement(old: Side, new: Side) -> Iterator[Row]:
    """Where nodes run, and in what precision."""
    before, after = _table(old.validation.get("placement")), _table(new.validation.get("placement"))
    counts = before.get("off_accelerator_nodes"), after.get("off_accelerator_nodes")
    texts = [_placed(table) for table in (before, after)]
    change: Change = "same" if texts[0] == texts[1] else "changed"
    if isinstance(counts[0], int) and isinstance(counts[1], int) and counts[0] != counts[1]:
        change = "worse" if counts[1] > counts[0] else "better"
    fallen = _fallen(before, after)
    yield Row(name="nodes", old=texts[0], new=texts[1], change=change, note=fallen, always=True)
    runs = _table(old.validation.get("execution")), _table(new.validation.get("execution"))
    mixes = [_mix(_table(row.get("precisions"))) for row in runs]
    yield Row(name="kernels", old=mixes[0], new=mixes[1], change="same" if mixes[0] == mixes[1] else "changed")
    slow = [list(map(str, row.get("unfused") or ())) for row in runs]
    more = [name for name in slow[1] if name not in slow[0]]
    step: Change = "same" if slow[0] == slow[1] else "worse" if len(slow[1]) > len(slow[0]) else "better"
    note = ", ".join(more[:_SHOWN_NODES])
    yield Row(name="quantized nodes that run in float", old=str(len(slow[0])), new=str(len(slow[1])), change=step,
              note=note)  # fmt: skip


def _percentile(name: str, key: str, old: Mapping[str, Any], new: Mapping[str, Any], note: str) -> Row:
    bands = _band(key, old), _band(key, new)
    change: Change = _apart(bands[0], bands[1])
    if note:
        change = "changed"
    elif change == "noise":
        note = "within noise"
    scatter = [f" ±{side['spread']:.0%}" if key == "p50_s" else "" for side in (old, new)]
    texts = [format_seconds(side[key]) + more for side, more in zip((old, new), scatter, strict=True)]
    return Row(
        name=name,
        old=texts[0],
        new=texts[1],
        change=change,
        note=note,
        values=(float(old[key]), float(new[key])),
        always=True,
    )


def _band(key: str, side: Mapping[str, Any]) -> tuple[float, float]:
    """What the figure may have been. The spread is that of medians: a tail may lie anywhere from the median up."""
    spread = float(side["spread"])
    highest = {"p50_s": "p50_s", "p90_s": "p99_s", "p99_s": "longest_s"}[key]
    return float(side["p50_s"]) * (1 - spread), float(side[highest]) * (1 + spread)


def _apart(old: tuple[float, float], new: tuple[float, float]) -> Change:
    """Lower is better."""
    if new[0] > old[1]:
        return "worse"
    return "better" if new[1] < old[0] else "noise"


def _speedup(old: Mapping[str, Any], new: Mapping[str, Any], note: str) -> Row:
    """Over the float reference, which took turns with the engine: a busy machine slows both."""
    bands = []
    for side in (old, new):
        ratio, spread = float(side["speedup"]), float(side["speedup_spread"])
        bands.append((1 / (ratio * (1 + spread)), 1 / (ratio * max(1 - spread, 1e-6))))
    change = "changed" if note else _apart(bands[0], bands[1])
    texts = [f"{side['speedup']:.2f}x ±{side['speedup_spread']:.0%}" for side in (old, new)]
    return Row(name="speed over float", old=texts[0], new=texts[1], change=change,
               note=note or ("within noise" if change == "noise" else ""))  # fmt: skip


def _machine(side: Side) -> str:
    host = _table(side.measurements.get("host"))
    device = side.measurements.get("device")
    threads = f", {host['threads']} threads" if host.get("threads") else ""
    return str(device) if device else f"{host.get('cpu') or host.get('arch') or 'an unknown machine'}{threads}"


def _grown(old: int, new: int, step: float, *, small: Change) -> Change:
    if old == new:
        return "same"
    if abs(new - old) <= step * old:
        return small
    return "worse" if new > old else "better"


def _placed(table: Mapping[str, Any]) -> str:
    total, off = table.get("nodes"), table.get("off_accelerator_nodes")
    if not isinstance(total, int) or not isinstance(off, int):
        return NONE
    return f"{total - off}/{total} on {table.get('accelerator')}"


def _fallen(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Nodes that run elsewhere now, with the reason."""
    known = {row.get("node") for row in old.get("off_accelerator", ())}
    rows = [row for row in new.get("off_accelerator", ()) if row.get("node") not in known]
    shown = [f"{row.get('node')} ({row.get('reason') or row.get('device')})" for row in rows[:_SHOWN_NODES]]
    more = [f"and {len(rows) - _SHOWN_NODES} more"] if len(rows) > _SHOWN_NODES else []
    return "; ".join([*shown, *more])


def _mix(precisions: Mapping[str, Any]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(precisions.items())) or NONE


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
