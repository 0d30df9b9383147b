"""A difference for a terminal: what matters first, then tables of what changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edgetool.bundle.verify import printable
from edgetool.diff.rows import BundleDifference, Change, Row
from edgetool.plain_text import table

MARKS: Mapping[Change, str] = {
    "breaking": "BREAKS",
    "worse": "worse",
    "better": "better",
    "changed": "changed",
    "noise": "noise",
    "same": "same",
}

_COUNTED: Mapping[Change, str] = {
    "breaking": "breaking",
    "worse": "worse",
    "better": "better",
    "changed": "changed otherwise",
}


def difference_text(found: BundleDifference) -> str:
    """Several lines."""
    return "\n".join(_lines(found))


def headline(found: BundleDifference) -> str:
    """One sentence: how much of what changed is better, worse, or breaks callers."""
    if found.equal:
        return "the bundles are equal: every byte but the measurements"
    counts = {change: len(list(found.rows(change))) for change in _COUNTED}
    parts = [f"{counts[change]} {text}" for change, text in _COUNTED.items() if counts[change]]
    return ", ".join(parts) or "nothing that is recorded differs; see edgetool reproduce for the bytes"


def _lines(found: BundleDifference) -> Iterator[str]:
    yield f"old  {printable(str(found.old))}"
    yield f"new  {printable(str(found.new))}"
    for warning in found.warnings:
        yield f"warning: {printable(warning)}"
    yield headline(found)
    if found.equal:
        return
    for section in found.sections:
        if rows := section.shown:
            yield ""
            yield section.title
            yield table([_cells(row) for row in rows])
    if unchanged := [section.title for section in found.sections if not section.shown]:
        yield ""
        yield f"unchanged: {', '.join(unchanged)}"


def _cells(row: Row) -> tuple[str, ...]:
    values = row.new if row.old == row.new else f"{row.old} → {row.new}"
    return (f"  {MARKS[row.change]}", *map(printable, (row.name, values, row.note)))
