"""How good the two engines are: metric, drift of every output, and what they answer to the same golden inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgetool.diff.rows import NONE, Change, Row
from edgetool.diff.side import Side
from edgetool.reproduce.outputs import compare_outputs

SQNR_STEP = 1.0
"""dB by which an output's noise may change before that is called better or worse."""

_ROUNDING = 1e-9
_OTHER_DATA = "judged by other evaluation data"
_STATUS = {"passed": 0, "unverified": 1, "failed": 2}


def accuracy(old: Side, new: Side) -> Iterator[Row]:
    """Rows of the section."""
    yield _status(old, new)
    comparable = old.samples == new.samples
    yield from _score(old, new, comparable=comparable)
    before, after = _outputs(old), _outputs(new)
    for name in dict.fromkeys([*before, *after]):
        yield from _output(name, before.get(name, {}), after.get(name, {}), comparable=comparable)
    yield from _golden(old, new)


def _status(old: Side, new: Side) -> Row:
    before, after = (str(side.manifest.validation.get("status")) for side in (old, new))
    step = _STATUS.get(after, 1) - _STATUS.get(before, 1)
    change: Change = "same" if before == after else "worse" if step > 0 else "better"
    why = new.manifest.validation.get("why_not")
    return Row(name="validation", old=before, new=after, change=change, note=str(why or ""), always=True)


def _score(old: Side, new: Side, *, comparable: bool) -> Iterator[Row]:
    before, after = old.comparison.get("score"), new.comparison.get("score")
    if not before and not after:
        return
    metrics = {row["metric"] for row in (before, after) if row}
    if not before or not after or len(metrics) > 1:
        yield Row(name="metric", old=_metric(before), new=_metric(after), change="changed", always=True)
        return
    name = str(after["metric"])
    reference = _judged(before["reference"], after["reference"], comparable=comparable)
    step = float(after["engine"]) - float(before["engine"])
    yield Row(
        name=name,
        old=_number(before["engine"]),
        new=_number(after["engine"]),
        change=_judged(before["engine"], after["engine"], comparable=comparable),
        note=_OTHER_DATA if not comparable else f"{step:+.4g}" if step else "",
        values=(float(before["engine"]), float(after["engine"])),
        always=True,
    )
    if reference != "same":
        row = (_number(before["reference"]), _number(after["reference"]))
        yield Row(name=f"{name} of the float reference", old=row[0], new=row[1], change="changed")


def _judged(old: float, new: float, *, comparable: bool) -> Change:
    if abs(new - old) <= _ROUNDING:
        return "same"
    if not comparable:
        return "changed"
    return "worse" if new < old else "better"


def _output(name: str, old: Mapping[str, Any], new: Mapping[str, Any], *, comparable: bool) -> Iterator[Row]:
    if not old or not new:
        yield Row(name=f"{name}: drift", old=_drift(old), new=_drift(new), change="changed")
        return
    judge = _equal_share if new.get("integral") else _noise
    change = judge(old, new)
    note = ""
    if not comparable and change != "same":
        change, note = "changed", _OTHER_DATA
    yield Row(
        name=f"{name}: drift from float",
        old=_drift(old),
        new=_drift(new),
        change=change,
        note=note,
        values=(old.get("cosine"), new.get("cosine")),
        always=True,
    )
    for key, text in (("max_abs", "largest error"), ("top1", "agreement of the first class")):
        if old.get(key) != new.get(key):
            row = (_number(old.get(key)), _number(new.get(key)))
            yield Row(name=f"{name}: {text}", old=row[0], new=row[1], change="changed")


def _noise(old: Mapping[str, Any], new: Mapping[str, Any]) -> Change:
    """By the ratio of signal to noise, which tells cosines near 1 apart; None is a noise of nothing."""
    before, after = old.get("sqnr_db"), new.get("sqnr_db")
    if before == after:
        return "same" if old.get("cosine") == new.get("cosine") else "changed"
    if before is None or after is None:
        return "worse" if before is None else "better"
    if abs(after - before) < SQNR_STEP:
        return "changed"
    return "worse" if after < before else "better"


def _equal_share(old: Mapping[str, Any], new: Mapping[str, Any]) -> Change:
    return _judged(float(old.get("equal", 0)), float(new.get("equal", 0)), comparable=True)


def _drift(row: Mapping[str, Any]) -> str:
    if not row:
        return NONE
    if row.get("integral"):
        return f"{float(row.get('equal', 0)):.2%} equal"
    noise = row.get("sqnr_db")
    return f"cosine {_number(row.get('cosine'))}" + (f", {noise:.1f} dB" if noise is not None else ", no error")


def _golden(old: Side, new: Side) -> Iterator[Row]:
    """New engine against old engine, on one input: nothing is run, both bundles hold the answers."""
    found = compare_outputs(old.bundle, new.bundle)
    if isinstance(found, str):
        yield Row(name="golden outputs, old against new", old=NONE, new=NONE, change="same", note=found)
        return
    for row in found.outputs:
        change: Change = "same" if row.equal == 1 else "changed"
        text = "equal" if row.equal == 1 else f"cosine {row.cosine:.6f}, largest difference {row.max_abs:.3g}"
        note = "" if change == "same" else "the same input gives another answer"
        yield Row(name=f"{row.output}: golden output, old against new", old=NONE, new=text, change=change, note=note)


def _outputs(side: Side) -> dict[str, Mapping[str, Any]]:
    """By name, on the user's own samples."""
    rows = side.manifest.validation.get("outputs") or ()
    return {str(row["output"]): row for row in rows if isinstance(row, dict) and "output" in row}


def _metric(score: Mapping[str, Any] | None) -> str:
    return f"{score['metric']} {_number(score['engine'])}" if score else NONE


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.6g}"
