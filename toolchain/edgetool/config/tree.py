"""Tables that remember where each of their values was written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias

from edgetool.config.positions import KeyPath, key_lines

Table: TypeAlias = dict[str, Any]
"""A table as `tomllib` gives it."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Document:
    """One TOML text.

    Attributes:
        label: what messages call it, usually the path as the user wrote it.
        text: all of it.
        values: what `tomllib` made of it.
    """

    label: str
    text: str
    values: Table

    @cached_property
    def lines(self) -> Mapping[KeyPath, int]:
        return key_lines(self.text)

    def line(self, path: KeyPath) -> int | None:
        """Line of a key, or of the nearest table around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)


@dataclass(frozen=True)
class Origin:
    """Where a value comes from.

    Attributes:
        kind: the project's file (or one it includes), the catalogue, the command line, or the schema.
        label: file, board or option.
        document: the text it stands in, where there is one.
        path: the key inside of that document.
    """

    kind: Literal["file", "catalogue", "override", "default"]
    label: str
    document: Document | None = None
    path: KeyPath = ()

    @property
    def line(self) -> int | None:
        return self.document.line(self.path) if self.document else None

    def __str__(self) -> str:
        return f"{self.label}:{self.line}" if self.kind == "file" and self.line else self.label


DEFAULT = Origin("default", "default")


@dataclass(frozen=True)
class Tree:
    """A table with the origin of every table, value and list item in it."""

    values: Table = field(default_factory=dict)
    origins: Mapping[KeyPath, Origin] = field(default_factory=dict)

    def origin(self, path: KeyPath) -> Origin:
        """Where a value was written; for a missing key the nearest table around it."""
        while path and path not in self.origins:
            path = path[:-1]
        return self.origins.get(path, DEFAULT)

    def value(self, path: KeyPath) -> object:
        """The value at a path, or None where there is none."""
        found: Any = self.values
        for part in path:
            inside_list = isinstance(found, list) and isinstance(part, int) and part < len(found)
            if not inside_list and not (isinstance(found, dict) and part in found):
                return None
            found = found[part]
        return found

    def below(self, path: KeyPath) -> Tree:
        """The table at a path as a tree of its own; an empty one where there is no table."""
        found = self.value(path)
        depth = len(path)
        return Tree(
            found if isinstance(found, dict) else {},
            {key[depth:]: origin for key, origin in self.origins.items() if key[:depth] == path},
        )


def tree_of(document: Document, *, kind: Literal["file", "catalogue"] = "file", label: str | None = None) -> Tree:
    """All of a document."""
    paths = [(), *_paths(document.values, ())]
    return Tree(document.values, {path: Origin(kind, label or document.label, document, path) for path in paths})


def overlay(base: Tree, over: Tree) -> Tree:
    """Tables are merged key by key; everything else in `over`, lists too, replaces what `base` says."""
    return Tree(_merged(base.values, over.values), {**base.origins, **over.origins})


def _merged(base: Table, over: Table) -> Table:
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


def _paths(value: object, path: KeyPath) -> list[KeyPath]:
    items: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return [found for key, below in items for found in ((*path, key), *_paths(below, (*path, key)))]


def dotted(path: KeyPath) -> str:
    """`("targets", "a.b", "facts")` -> `targets."a.b".facts`, as TOML would write it."""
    return ".".join(part if isinstance(part, str) and _BARE.fullmatch(part) else _quoted(part) for part in path)


def _quoted(part: str | int) -> str:
    return str(part) if isinstance(part, int) else f'"{part}"'
