"""What a build tells of itself in its bundle: which steps it took, with what, and which files it read.

A step's key holds all that decides its result, so nothing needs to be collected twice. What belongs to the building
machine and not to the build stays out: places of files, and the number of threads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from edgetool.bundle.origin import FileRole, Origin, ReadFile, Step
from edgetool.engine.cache import Key
from edgetool.engine.planned import BuildPlan
from edgetool.engine.standing import Choice

MOST_FILES = 1000
"""Files that are named one by one for a step; more are one digest over all."""

_ROLES: Mapping[str, FileRole] = {
    "import": "source",
    "calibration-data": "calibration",
    "evaluation-data": "evaluation",
}
_OF_THE_PROOF = frozenset({"supports", "validate", "golden"})
"""Steps that decide whether there is an engine, and what is said of it, but not its bytes."""

_ELSEWHERE = frozenset({"files", "tools", "signature", "edgetool", "unsettled"})
"""Parts of a key that stand elsewhere in the provenance, or depend on the moment."""


def origin_of(plan: BuildPlan, choice: Choice | None, keys: Sequence[Key]) -> Origin:
    """What the bundle of a plan says of how it came about.

    Args:
        plan: that was followed.
        choice: between the candidates of `precision = "auto"`, if there were any.
        keys: of the steps that led to the engine, in order.
    """
    last = {key.step: key for key in keys if key.step == "build"}  # those before gave no engine, or it was replaced
    acting = [key for key in keys if key.step not in _OF_THE_PROOF and last.get(key.step, key) is key]
    return Origin(
        recipe=choice.name if choice else plan.target.recipe,
        edgetool=next((str(key.parts["edgetool"]) for key in acting if "edgetool" in key.parts), None),
        plugins=dict(sorted(_plugins(acting))),
        steps=tuple(Step(key.step, portable(key.parts)) for key in acting if key.step != "evaluation-data"),
        files=tuple(row for key in acting for row in _files(key)),
    )


def _plugins(keys: Sequence[Key]) -> Iterator[tuple[str, str]]:
    """Distribution and version behind every importer, pass and backend."""
    for key in keys:
        name, _, version = str(key.parts.get("provider", "")).rpartition(" ")
        if name:
            yield name, version


def portable(parts: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a step's key as a bundle holds them: without what other tables say, and without absolute paths."""
    return {name: _without_places(value) for name, value in parts.items() if name not in _ELSEWHERE}


def _without_places(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_places(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_places(item) for item in value]
    return _name_of(value) if isinstance(value, str) else value


def _name_of(path: str) -> str:
    """A path as a bundle may hold it."""
    return PurePath(path).name or path if PurePath(path).is_absolute() else path


def _files(key: Key) -> Iterator[ReadFile]:
    role, found = _ROLES.get(key.step), key.parts.get("files")
    if role is None or not found:
        return
    if len(found) > MOST_FILES:
        listing = "".join(f"{sha256}  {path}\n" for path, sha256 in sorted(found.items()))
        yield ReadFile(f"{len(found)} files", hashlib.sha256(listing.encode()).hexdigest(), role)
        return
    for path, sha256 in sorted(found.items()):
        yield ReadFile(_name_of(path), sha256, role)
