"""A reproduction for people: the verdict, why, then the files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgetool.bundle.verify import printable
from edgetool.plain_text import table
from edgetool.reproduce.verdict import Reproduction

MOST_EQUAL = 12
"""Equal files that are all listed; of more only the engine's are, if those are not too many themselves."""

_HEADLINES = {
    "reproduced": "reproduced",
    "outputs agree": "reproduced by its outputs",
    "drift": "drift",
    "differs": "NOT REPRODUCED",
    "unproven": "not proven here",
}


def reproduction_text(bundle: Path, found: Reproduction) -> str:
    """Several lines."""
    return "\n".join(_lines(bundle, found))


def _lines(bundle: Path, found: Reproduction) -> Iterator[str]:
    yield printable(f"{bundle.name}: {_HEADLINES[found.verdict]}: {found.summary}")
    if found.causes:
        yield ""
        rows = [tuple(map(printable, (row.kind, row.name, row.then, row.now))) for row in found.causes]
        yield table(rows, headers=("what", "", "then", "now"))
    if found.outputs:
        yield ""
        outputs = [(printable(row.output), f"{row.cosine:.6f}", f"{row.max_abs:.3g}") for row in found.outputs.outputs]
        yield table(outputs, headers=("golden output", "cosine", "max difference"))
    if found.files:
        yield ""
        yield from _files(found)
    if found.remark:
        yield ""
        yield printable(found.remark)
    if found.fix:
        yield f"  hint: {found.fix}"


def _files(found: Reproduction) -> Iterator[str]:
    equal = [row for row in found.files if row.status == "equal"]
    engine = [row for row in equal if row.role == "model"]
    if len(equal) <= MOST_EQUAL:
        hidden = []
    else:
        hidden = equal if len(engine) > MOST_EQUAL else [row for row in equal if row not in engine]
    shown = [row for row in found.files if row not in hidden]
    rows: list[tuple[str, ...]] = []
    for row in shown:
        explained = row.derived and row.status == "differs"
        rows.append((row.status, f"{row.path}  (it holds the others' hashes)" if explained else row.path))
        rows += [("", printable(f"  {value}")) for value in row.values if not row.derived]
    yield table(rows)
    if hidden:
        yield f"equal  {len(hidden)} {'files' if hidden == equal else 'other files'}"
