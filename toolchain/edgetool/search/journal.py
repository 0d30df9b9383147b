"""What a search learnt, kept in the cache folder: how long each recipe took, and which ones have no engine.

The figures of those that have one are not in here: they are steps of the cache like any others.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetool.disk import host_errors
from edgetool.engine.cache import Cache


@dataclass(frozen=True, slots=True)
class Noted:
    """A recipe that was tried before: the seconds that it took, and why nothing came of it, if so."""

    seconds: float
    why_not: str | None


class Journal:
    """The recipes of one search: of one network, one target, one set of samples. Thread-safe.

    Args:
        cache: in whose folder it is kept.
        key: digest of everything that decides what becomes of a recipe.
    """

    def __init__(self, cache: Cache, key: str) -> None:
        self.path = cache.root / "searches" / f"{key}.jsonl"
        self._lock = threading.Lock()
        self._rows = _read(self.path)

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, recipe: str) -> Noted | None:
        """What is known of a recipe, by its key."""
        return self._rows.get(recipe)

    def add(self, recipe: str, noted: Noted) -> None:
        """Keep it at once: the search may be killed any time. Raises HostError."""
        row = {"recipe": recipe, "seconds": round(noted.seconds, 3), "why_not": noted.why_not}
        with self._lock, host_errors(self.path):
            self._rows[recipe] = noted
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


def _read(path: Path) -> dict[str, Noted]:
    """Lines that are not whole, because somebody was killed while writing, are passed over."""
    found: dict[str, Noted] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return found
    for line in lines:
        try:
            row: dict[str, Any] = json.loads(line)
            found[str(row["recipe"])] = Noted(float(row["seconds"]), row["why_not"])
        except (ValueError, KeyError, TypeError):
            continue
    return found
