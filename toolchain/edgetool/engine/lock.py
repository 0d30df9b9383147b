"""edgetool.lock: what a build was made from, so that another machine makes the same or says what differs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetool.artifact import JsonValue
from edgetool.disk import replace_file
from edgetool.engine.cache import Key
from edgetool.engine.history import difference
from edgetool.errors import ConfigError, DriftError

LOCK_NAME = "edgetool.lock"
_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class TargetLock:
    """The locked steps of one target.

    Attributes:
        path: of the lock file, for messages.
        target: its name.
        steps: step name to the parts of its key.
        choice: which candidate was chosen and how the others came off, where the target says `precision = "auto"`.
    """

    path: Path
    target: str
    steps: Mapping[str, Mapping[str, Any]]
    choice: Mapping[str, Any] | None = None

    def compare(self, key: Key) -> None:
        """Raise `DriftError` unless the step is locked with exactly these parts."""
        locked = self.steps.get(key.step)
        where = f"{self.path} [{self.target}] {key.step}"
        if locked is None:
            raise DriftError(
                "lock-drift", f"step {key.step!r} is not in the lock", where=where, hint="edgetool build --update-lock"
            )
        if found := difference(locked, json.loads(json.dumps(key.parts))):
            shown = "; ".join(f"{name} was {before}, is {after}" for name, (before, after) in list(found.items())[:5])
            more = f"; and {len(found) - 5} more" if len(found) > 5 else ""
            raise DriftError(
                "lock-drift",
                f"step {key.step!r} differs from the lock: {shown}{more}",
                where=where,
                hint="restore what changed, or accept it with edgetool build --update-lock",
            )


def read_lock(path: Path, target: str) -> TargetLock:
    """The target's part of a lock file. Raises ConfigError when there is none."""
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise ConfigError(
            "no-lock", "there is no lock file", where=str(path), hint="edgetool build --update-lock writes it"
        ) from error
    except ValueError as error:
        raise ConfigError("no-lock", f"this is no lock file: {error}", where=str(path)) from error
    if data.get("schema") != _SCHEMA:
        raise ConfigError("no-lock", f"schema {data.get('schema')!r} is not {_SCHEMA}", where=str(path))
    if target not in data["targets"]:
        raise ConfigError(
            "no-lock",
            f"target {target!r} is not locked",
            where=str(path),
            hint=f"edgetool build --target {target} --update-lock",
        )
    return TargetLock(path, target, data["targets"][target], data.get("choices", {}).get(target))


def update_lock(path: Path, target: str, keys: Sequence[Key], *, choice: Mapping[str, JsonValue] | None = None) -> None:
    """Write the target's steps and the choice between its candidates, keeping those of other targets."""
    try:
        data = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        data = {"schema": _SCHEMA, "targets": {}}
    data["targets"][target] = {key.step: key.parts for key in keys}
    choices = {name: row for name, row in data.get("choices", {}).items() if name != target}
    if choice is not None:
        choices[target] = choice
    data = {**data, "choices": choices} if choices else {key: row for key, row in data.items() if key != "choices"}
    replace_file(path, (json.dumps(data, indent=1, sort_keys=True) + "\n").encode())
