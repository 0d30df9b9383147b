"""Why two builds may differ: what they were made from and by, taken from what their bundles say."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from edgetool.artifact import JsonValue
from edgetool.bundle.manifest import DataRecord, Manifest, StepRecord

CauseKind: TypeAlias = Literal[
    "source", "data", "tool", "code", "recipe", "option", "target", "device", "budget", "machine"
]

_ABSENT = "(absent)"
_SHOWN = 12
"""Hex digits of a digest that people get to see."""

_DATA_USES = ("a file read for the calibration", "a file read for the evaluation")


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that decides a build's bytes, and is not what it was.

    Attributes:
        kind: what it is.
        name: which one: a file, a distribution, `PASS.OPTION`.
        then: what the bundle was built from.
        now: what is here.
    """

    kind: CauseKind
    name: str
    then: str
    now: str

    def to_json(self) -> dict[str, JsonValue]:
        return {"kind": self.kind, "name": self.name, "then": self.then, "now": self.now}


Statement: TypeAlias = Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Account:
    """What a bundle says of its build: the manifest, and the statement where it has one."""

    manifest: Manifest
    statement: Statement

    @property
    def files(self) -> dict[tuple[str, str], str]:
        """(use, path) to digest, of every file that was read."""
        rows = self._definition.get("resolvedDependencies", ())
        return {
            (row.get("annotations", {}).get("use", ""), row["name"]): row.get("digest", {}).get("sha256", "missing")
            for row in rows
            if "annotations" in row and not str(row.get("uri", "")).startswith("pkg:")
        }

    @property
    def decided(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._definition.get("internalParameters", {})
        return found

    @property
    def recipe(self) -> str | None:
        recipe: str | None = self._definition.get("externalParameters", {}).get("recipe")
        return recipe

    @property
    def steps(self) -> list[Mapping[str, Any]]:
        return list(self.decided.get("steps", ()))

    @property
    def _definition(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.statement["predicate"]["buildDefinition"] if self.statement else {}
        return found


def causes(then: Account, now: Account) -> tuple[Cause, ...]:
    """Everything that was put into the two builds and is not equal, each thing once."""
    return tuple(dict.fromkeys(_causes(then, now)))


def unstable_step(then: Account, now: Account) -> str | None:
    """The first step that gave another model from equal inputs; None where all gave the same.

    A step's `input` is the digest of what the step before made.
    """
    before = "import"
    for old, new in zip(then.steps, now.steps, strict=False):
        if "input" in old and old["input"] != new.get("input"):
            return before
        before = str(old["name"])
    return None


def _causes(then: Account, now: Account) -> Iterator[Cause]:
    yield from _sources(then, now)
    old, new = then.manifest, now.manifest
    yield from _table("tool", dict(old.tools), dict(new.tools))
    yield from _code(then, now)
    yield from _recipe(then, now)
    yield from _step("", old.backend, new.backend)
    yield from _table("option", _identity(old), _identity(new))
    yield from _table("target", dict(old.target.facts), dict(new.target.facts))
    yield from _table("device", dict(old.backend.facts), dict(new.backend.facts))
    yield from _table("budget", _limits(old), _limits(new))


def _sources(then: Account, now: Account) -> Iterator[Cause]:
    """Files one by one where both tell; else the digests over all."""
    files = list(_files(then, now))
    yield from files
    kinds = {cause.kind for cause in files}
    old, new = then.manifest, now.manifest
    if "source" not in kinds:
        pairs = ((f"source {old.source.text}", old.source.sha256), (f"source {new.source.text}", new.source.sha256))
        if pairs[0] != pairs[1]:
            yield Cause("source", old.source.text, old.source.sha256[:_SHOWN], new.source.sha256[:_SHOWN])
    if "data" not in kinds:
        yield from _data("calibration", old.calibration, new.calibration)
        yield from _data("evaluation", old.evaluation, new.evaluation)


def _files(then: Account, now: Account) -> Iterator[Cause]:
    if then.statement is None or now.statement is None:
        return
    before, after = then.files, now.files
    for use, path in sorted(before.keys() | after.keys()):
        old, new = before.get((use, path)), after.get((use, path))
        if old != new and use.startswith("a file read"):
            kind: CauseKind = "data" if use in _DATA_USES else "source"
            yield Cause(kind, path, old[:_SHOWN] if old else _ABSENT, new[:_SHOWN] if new else _ABSENT)


def _data(name: str, old: DataRecord | None, new: DataRecord | None) -> Iterator[Cause]:
    if old != new:
        yield Cause("data", f"{name} data", _samples(old), _samples(new))


def _samples(record: DataRecord | None) -> str:
    return f"{record.count} samples, {record.digest[:_SHOWN]}" if record else _ABSENT


def _code(then: Account, now: Account) -> Iterator[Cause]:
    """Code that was edited in place has the version that it had before."""
    old, new = then.decided.get("code"), now.decided.get("code")
    if old and new and old != new:
        yield Cause("code", "edgetool", str(old), str(new))
    for before, after in zip(then.steps, now.steps, strict=False):
        if before["name"] != after["name"] or before.get("use") != after.get("use"):
            return
        for key in ("provider", "revision", "code"):
            if before.get(key) != after.get(key):
                name = f"plugin of {before.get('use', before['name'])}"
                shown = f"{after.get('provider')}, code "
                yield Cause("code", name, f"{before.get('provider')}, code {str(before.get('code'))[:_SHOWN]}",
                            shown + str(after.get("code"))[:_SHOWN])  # fmt: skip
                break


def _recipe(then: Account, now: Account) -> Iterator[Cause]:
    if then.statement and now.statement and then.recipe != now.recipe:
        yield Cause("recipe", "recipe", then.recipe or _ABSENT, now.recipe or _ABSENT)
    old, new = then.manifest.passes, now.manifest.passes
    names = [row.name for row in old], [row.name for row in new]
    if names[0] != names[1]:
        yield Cause("recipe", "passes", ", ".join(names[0]) or _ABSENT, ", ".join(names[1]) or _ABSENT)
        return
    for before, after in zip(old, new, strict=True):
        yield from _step(f"{before.name}.", before, after)


def _step(prefix: str, old: StepRecord, new: StepRecord) -> Iterator[Cause]:
    if old.name != new.name:
        yield Cause("option", "backend", old.name, new.name)
        return
    prefix = prefix or f"{old.name}."
    yield from _table("option", dict(old.options), dict(new.options), prefix=prefix)


def _identity(manifest: Manifest) -> dict[str, Any]:
    """What the targets file says of the model itself."""
    return {
        "name": manifest.name,
        "version": manifest.version,
        "importer": manifest.source.importer,
        "license": manifest.source.license,
        "preprocess": dict(manifest.preprocessing) if manifest.preprocessing else None,
        "stands_in_for": list(manifest.stands_in_for),
        "created": manifest.created,
    }


def _limits(manifest: Manifest) -> dict[str, Any]:
    return {str(row.get("name")): row.get("limit") for row in manifest.verdicts}


def _table(kind: CauseKind, old: Mapping[str, Any], new: Mapping[str, Any], *, prefix: str = "") -> Iterator[Cause]:
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name, _ABSENT), new.get(name, _ABSENT)
        if before == after:
            continue
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _table(kind, before, after, prefix=f"{prefix}{name}.")
        else:
            yield Cause(kind, prefix + name, _shown(before), _shown(after))


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
