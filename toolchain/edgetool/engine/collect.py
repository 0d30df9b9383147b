"""Garbage collection of the cache: least recently used first."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass

from edgetool.engine.cache import Cache, Entry
from edgetool.errors import IntegrityError

_LOGS_KEPT = 7 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Removed:
    """What a collection took away."""

    entries: int
    bytes: int
    workspaces: int


def collect_garbage(cache: Cache, *, max_size: int, max_age: float | None, damaged: bool) -> Removed:
    """Remove entries until at most `max_size` bytes are left, those unused for `max_age` seconds, and old logs.

    Entries that running builds made or read are spared.
    """
    doomed: dict[str, Entry] = {}
    kept = sorted(cache.entries(), key=_last_used, reverse=True)
    if damaged:
        doomed |= {entry.key: entry for entry in kept if cache.check(entry)}
        for folder in unreadable(cache):
            shutil.rmtree(folder, ignore_errors=True)
    if max_age is not None:
        doomed |= {entry.key: entry for entry in kept if time.time() - _last_used(entry) > max_age}
    total = 0
    for entry in kept:
        total += entry.size
        if total > max_size:
            doomed[entry.key] = entry
    since = cache.used_since()
    doomed = {key: entry for key, entry in doomed.items() if _last_used(entry) < since}
    for entry in doomed.values():
        cache.remove(entry)
    for log in (cache.root / "logs").glob("*.log"):
        if time.time() - log.stat().st_mtime > _LOGS_KEPT:
            log.unlink(missing_ok=True)
    return Removed(len(doomed), sum(entry.size for entry in doomed.values()), cache.clear_abandoned())


def unreadable(cache: Cache) -> list[str]:
    """Entries whose own record cannot be read."""
    found = []
    for folder in (cache.root / "entries").glob("??/*"):
        try:
            cache.get(folder.name)
        except IntegrityError as error:
            if error.where and error.where.endswith("entry.json"):
                found.append(str(folder))
    return found


def _last_used(entry: Entry) -> float:
    try:
        return entry.folder.stat().st_mtime
    except FileNotFoundError:  # collected by somebody else meanwhile
        return 0.0
