"""Which keys a target's last builds had, so that `edgetool cache why` can say what changed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgetool.disk import replace_file
from edgetool.engine.cache import Cache, Key
from edgetool.errors import ConfigError, HostError

Difference = dict[str, tuple[str, str]]
"""Name of a key part to what it was and what it is."""


def save_history(cache: Cache, target: str, keys: Sequence[Key]) -> None:
    """Keep the keys of a build, and those of the build before. A cache that cannot be written to only forgets them."""
    current = _path(cache, target)
    text = json.dumps([{"step": key.step, "digest": key.digest, "parts": key.parts} for key in keys], indent=1)
    with contextlib.suppress(OSError, HostError):
        current.parent.mkdir(parents=True, exist_ok=True)
        before = current.read_bytes() if current.exists() else None
        if before == text.encode():
            return
        if before is not None:
            replace_file(current.with_suffix(".before"), before)
        replace_file(current, text.encode())


def compare_builds(cache: Cache, target: str) -> dict[str, Difference]:
    """For each step of the target's last build, what differs from the last one that was not the same.

    Empty when there was none.

    Raises:
        ConfigError: the target was never built with this cache.
    """
    current = _read(_path(cache, target))
    if current is None:
        raise ConfigError(
            "never-built",
            f"target {target!r} was not built with this cache",
            where=str(cache.root),
            hint=f"edgetool build --target {target}",
        )
    before = {row["step"]: row for row in _read(_path(cache, target).with_suffix(".before")) or ()}
    if not before:
        return {}
    found = {}
    for row in current:
        old = before.get(row["step"])
        found[row["step"]] = difference(old["parts"] if old else {}, row["parts"])
    return found


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Difference:
    """Parts that are not equal, nested tables compared key by key."""
    left, right = _flat(before), _flat(after)
    return {
        name: (left.get(name, "(absent)"), right.get(name, "(absent)"))
        for name in sorted(left.keys() | right.keys())
        if left.get(name) != right.get(name)
    }


def _flat(parts: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in parts.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return flat


def _path(cache: Cache, target: str) -> Path:
    return cache.root / "plans" / f"{target}.json"


def _read(path: Path) -> list[dict[str, Any]] | None:
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return rows
