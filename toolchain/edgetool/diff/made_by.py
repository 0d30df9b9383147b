"""What the two bundles were made from and by, and who vouches for them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

from edgetool.bundle.verify import MAX_JSON
from edgetool.diff.rows import NONE, Change, Row
from edgetool.diff.side import Side
from edgetool.reproduce.causes import Cause, CauseKind, causes
from edgetool.trust.model_signing import Envelope, read_envelope
from edgetool.trust.verification import signature_of
from edgetool.validate.budgets import format_quantity

TITLES: Mapping[CauseKind, str] = {
    "source": "source and data",
    "data": "source and data",
    "recipe": "passes and options",
    "option": "passes and options",
    "tool": "toolchain",
    "code": "toolchain",
    "target": "target",
    "device": "target",
}
"""Section in which a difference of what went into the builds is shown."""

_SHOWN_ELSEWHERE = frozenset({"name", "version", "preprocess"})
"""Options that the head of a difference names, or its signature."""

_RANK = {"held": 0, "unverified": 1, "missed": 2}
_SHOWN = 16


def inputs(old: Side, new: Side) -> dict[str, tuple[Row, ...]]:
    """Rows by section title, of everything that went into the two builds and is not equal."""
    found: dict[str, list[Row]] = {title: [] for title in TITLES.values()}
    for cause in causes(old.account, new.account):
        if (title := TITLES.get(cause.kind)) and cause.name not in _SHOWN_ELSEWHERE:
            found[title].append(_row(cause))
    found["passes and options"] += _lowerings(old, new)
    found["target"] += _target(old, new)
    return {title: tuple(dict.fromkeys(rows)) for title, rows in found.items()}


def verdicts(old: Side, new: Side) -> Iterator[Row]:
    """What became of each budget."""
    before, after = _verdicts(old), _verdicts(new)
    for name in dict.fromkeys([*before, *after]):
        then, now = before.get(name), after.get(name)
        change: Change = "same"
        if then is None or now is None or then["limit"] != now["limit"]:
            change = "changed"
        if then is not None and now is not None:
            step = _rank(now) - _rank(then)
            change = "worse" if step > 0 else "better" if step < 0 else change
        elif now is not None and _rank(now) == _RANK["missed"]:
            change = "worse"
        yield Row(name=name, old=_verdict(then), new=_verdict(now), change=change)


def signing(old: Side, new: Side) -> Iterator[Row]:
    """Which key signed; signatures are read and not checked."""
    before, after = _signed_by(old), _signed_by(new)
    change: Change = "same" if before == after else "changed"
    note = ""
    if before != after and NONE not in (before, after):
        note = "devices must trust the new key"
    if before != NONE and after == NONE:
        note = "the new bundle is not signed"
    yield Row(name="signed by", old=before, new=after, change=change, note=note)


def _row(cause: Cause) -> Row:
    return Row(name=cause.name, old=cause.then, new=cause.now, change="changed")


def _lowerings(old: Side, new: Side) -> Iterator[Row]:
    before = {row.name: row.count for row in old.manifest.lowerings}
    after = {row.name: row.count for row in new.manifest.lowerings}
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            row = str(before.get(name, NONE)), str(after.get(name, NONE))
            yield Row(name=f"lowering {name}", old=row[0], new=row[1], change="changed")


def _target(old: Side, new: Side) -> Iterator[Row]:
    before, after = old.manifest, new.manifest
    pairs = (
        ("backend", before.backend.name, after.backend.name, ""),
        ("precision", before.precision, after.precision, ""),
        ("runtime", _runtime(old), _runtime(new), ""),
        ("compatibility", before.target.compatibility, after.target.compatibility, "devices compare this word"),
        ("fell back from", _fallback(old), _fallback(new), ""),
    )
    for name, then, now, note in pairs:
        if then != now:
            yield Row(name=name, old=then, new=now, change="changed", note=note)


def _runtime(side: Side) -> str:
    return f"{side.manifest.runtime.kind} {side.manifest.runtime.version or ''}".strip()


def _fallback(side: Side) -> str:
    return ", ".join(row.backend for row in side.manifest.fallback) or NONE


def _verdicts(side: Side) -> dict[str, Mapping[str, object]]:
    """Of all budgets: those that last stand in the manifest, those of the moment with the measurements."""
    rows = [*side.manifest.verdicts, *(side.measurements.get("verdicts") or ())]
    return {str(row["name"]): row for row in rows if "name" in row}


def _rank(row: Mapping[str, object]) -> int:
    return _RANK.get(str(row.get("status")), 1)


def _verdict(row: Mapping[str, object] | None) -> str:
    if row is None:
        return NONE
    unit = row.get("unit")
    texts = [
        format_quantity(float(value), unit) if isinstance(value, (int, float)) else NONE  # type: ignore[arg-type] # of a checked manifest
        for value in (row.get("measured"), row.get("limit"))
    ]
    return f"{row.get('status')}: {texts[0]}, limit {texts[1]}"


def _signed_by(side: Side) -> str:
    path = signature_of(side.bundle.path)
    if not path.is_file() or path.stat().st_size > MAX_JSON:
        return NONE
    try:
        return _signer(read_envelope(path.read_bytes()))
    except ValueError:
        return "a signature that cannot be read"


def _signer(envelope: Envelope) -> str:
    if envelope.certificates:
        return f"certificate {hashlib.sha256(envelope.certificates[0]).hexdigest()[:_SHOWN]}"
    return f"key {(envelope.key_hint or 'without a name')[:_SHOWN]}"
