"""Compares two bundles file by file, and says of documents which of their values differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from edgetool.artifact import JsonValue
from edgetool.bundle.read import Bundle
from edgetool.bundle.verify import MANIFEST
from edgetool.errors import IntegrityError

Status: TypeAlias = Literal["equal", "differs", "missing", "added"]

MOST_VALUES = 5
"""Values of a document that are named."""

_DERIVED = frozenset({MANIFEST, "sbom.cdx.json", "provenance.json"})
"""Documents that hold the hashes of other files: they differ wherever those do."""


@dataclass(frozen=True, slots=True)
class FileResult:
    """One file of the two bundles.

    Attributes:
        path: in the bundle.
        role: as the manifest calls it; `manifest` of the manifest itself.
        status: `missing`: the rebuilt bundle lacks it; `added`: the old one does.
        then: sha256 in the old bundle, if it is there.
        now: sha256 in the rebuilt bundle, if it is there.
        values: of a JSON document, what differs in it: `KEY: THEN -> NOW`.
    """

    path: str
    role: str
    status: Status
    then: str | None
    now: str | None
    values: tuple[str, ...] = ()

    @property
    def derived(self) -> bool:
        return self.path in _DERIVED

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "path": self.path,
            "role": self.role,
            "status": self.status,
            "then": self.then,
            "now": self.now,
            "values": list(self.values),
        }


def compare_files(then: Bundle, now: Bundle) -> tuple[FileResult, ...]:
    """All files but the measurements, which no two builds have in common: the engine's first, the manifest last."""
    old, new = _listed(then), _listed(now)
    order = {"model": 0, "io": 1, "report": 2, "manifest": 4}
    paths = sorted(old.keys() | new.keys(), key=lambda path: (order.get((old.get(path) or new[path])[0], 3), path))
    return tuple(_compare(path, then, now, old, new) for path in paths)


def _listed(bundle: Bundle) -> dict[str, tuple[str, str]]:
    """Path to role and sha256."""
    import hashlib

    found: dict[str, tuple[str, str]] = {row.path: (row.role, row.sha256) for row in bundle.manifest.files}
    return found | {MANIFEST: ("manifest", hashlib.sha256((bundle.path / MANIFEST).read_bytes()).hexdigest())}


def _compare(
    path: str, then: Bundle, now: Bundle, old: Mapping[str, tuple[str, str]], new: Mapping[str, tuple[str, str]]
) -> FileResult:
    if path not in new:
        return FileResult(path, old[path][0], "missing", old[path][1], None)
    role, sha256 = new[path]
    if path not in old:
        return FileResult(path, role, "added", None, sha256)
    if old[path][1] == sha256:
        return FileResult(path, role, "equal", sha256, sha256)
    values = tuple(_values(then.path / path, now.path / path)) if path.endswith(".json") else ()
    return FileResult(path, role, "differs", old[path][1], sha256, values)


def _values(old: Path, new: Path) -> Iterator[str]:
    found = list(_differing(_load(old), _load(new)))
    yield from found[:MOST_VALUES]
    if len(found) > MOST_VALUES:
        yield f"and {len(found) - MOST_VALUES} more"


def _differing(old: object, new: object, name: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _differing(old.get(key), new.get(key), f"{name}.{key}" if name else str(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _differing(before, after, f"{name}.{index}")
    elif old != new:
        yield f"{name}: {_short(old)} -> {_short(new)}"


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _load(path: Path) -> object:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise IntegrityError(
            "bundle-damaged",
            "a document of the bundle is not JSON",
            where=str(path),
            hint="get the bundle again from where it came",
        ) from error
