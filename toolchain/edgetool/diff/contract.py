"""What an application relies on: inputs, outputs, their sizes, and how a picture becomes an input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgetool.diff.rows import NONE, Change, Row
from edgetool.diff.side import Side
from edgetool.signature import DimRange, TensorSpec


def contract(old: Side, new: Side) -> Iterator[Row]:
    """Rows of the section; `breaking` are those after which a caller must change."""
    before, after = old.manifest.signature, new.manifest.signature
    yield from _tensors("input", before.inputs, after.inputs)
    yield from _tensors("output", before.outputs, after.outputs)
    for name in sorted(before.dims.keys() | after.dims.keys()):
        yield _range(name, before.dims.get(name), after.dims.get(name))
    yield from _preprocessing(old, new)


def _tensors(kind: str, old: Sequence[TensorSpec], new: Sequence[TensorSpec]) -> Iterator[Row]:
    before, after = {row.name: row for row in old}, {row.name: row for row in new}
    for name in dict.fromkeys([*before, *after]):
        then, now = before.get(name), after.get(name)
        change: Change = "same" if then == now else "breaking"
        note = ""
        if then is None:
            note = f"new {kind}"
            change = "breaking" if kind == "input" else "changed"
        elif now is None:
            note = f"the {kind} is gone"
        yield Row(name=f"{kind} {name}", old=_spec(then), new=_spec(now), change=change, note=note)
    if before.keys() == after.keys() and list(before) != list(after):
        yield Row(name=f"order of {kind}s", old=", ".join(before), new=", ".join(after), change="breaking",
                  note="callers that go by position read the wrong one")  # fmt: skip


def _spec(spec: TensorSpec | None) -> str:
    return str(spec).partition(": ")[2] if spec else NONE


def _range(name: str, old: DimRange | None, new: DimRange | None) -> Row:
    change: Change = "same" if old == new else "changed"
    note = ""
    if old and new and (new.min > old.min or new.max < old.max):
        change, note = "breaking", "sizes that worked are refused"
    return Row(name=f"size of {name}", old=_sizes(old), new=_sizes(new), change=change, note=note)


def _sizes(found: DimRange | None) -> str:
    return f"{found.min}..{found.max}, tuned for {found.opt}" if found else NONE


def _preprocessing(old: Side, new: Side) -> Iterator[Row]:
    before, after = old.manifest.preprocessing or {}, new.manifest.preprocessing or {}
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            yield Row(
                name=f"preprocessing {key}",
                old=str(before.get(key, NONE)),
                new=str(after.get(key, NONE)),
                change="breaking",
                note="pictures must be prepared in another way",
            )
