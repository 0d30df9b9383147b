"""Lines `KEY=VALUE`, in which scripts on the device report; a key may come more than once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lines:
    """What a script reported; empty values count as not said."""

    values: Mapping[str, tuple[str, ...]]

    def first(self, key: str) -> str | None:
        return next(iter(self.all(key)), None)

    def all(self, key: str) -> tuple[str, ...]:
        return self.values.get(key, ())

    def pairs(self, key: str) -> tuple[tuple[str, str], ...]:
        """Values of two words; others are left out."""
        split = (value.split(None, 1) for value in self.all(key))
        return tuple((words[0], words[1]) for words in split if len(words) == 2)


def read_lines(text: str) -> Lines:
    """Of a script's output; whatever is no such line is left out."""
    values: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        key, found, value = line.partition("=")
        if found and value.strip():
            values[key] = (*values.get(key, ()), value.strip())
    return Lines(values)
