"""A difference between two bundles as rows of a table: everything that reads it needs no other form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from edgetool.artifact import JsonValue

SCHEMA_VERSION = 1

Change: TypeAlias = Literal["same", "noise", "better", "changed", "worse", "breaking"]
"""`noise`: the two measurements overlap. `changed`: neither better nor worse. `breaking`: callers must change."""

FailOn: TypeAlias = Literal["regression", "signature", "any"]

NONE = "-"

MOST_ROWS = 12
"""Rows of a section that people get to see; JSON has all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing of both bundles.

    Attributes:
        name: what it is.
        old: as text; `-` where the old bundle has none.
        new: as text.
        change: from old to new.
        note: what to make of it.
        values: both as numbers, in seconds and bytes, where it is a figure.
        always: shown to people although nothing changed.
    """

    name: str
    old: str
    new: str
    change: Change
    note: str = ""
    values: tuple[float | None, float | None] | None = None
    always: bool = False

    @property
    def moved(self) -> bool:
        return self.change not in ("same", "noise")

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "name": self.name,
            "old": self.old,
            "new": self.new,
            "change": self.change,
            "note": self.note,
            "values": list(self.values) if self.values else None,
        }


@dataclass(frozen=True, slots=True)
class Section:
    """Rows that belong together."""

    title: str
    rows: tuple[Row, ...]

    @property
    def shown(self) -> tuple[Row, ...]:
        """What people get to see: not what is equal, and of a long list the beginning."""
        rows = tuple(row for row in self.rows if row.moved or row.always or row.change == "noise")
        if len(rows) <= MOST_ROWS:
            return rows
        rest = f"and {len(rows) - MOST_ROWS} more"
        return (*rows[:MOST_ROWS], Row(name=rest, old="", new="", change="changed"))

    def to_json(self) -> dict[str, JsonValue]:
        return {"title": self.title, "rows": [row.to_json() for row in self.rows]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Which bundle one side is."""

    path: str
    name: str
    version: str
    target: str
    precision: str
    content_digest: str

    def __str__(self) -> str:
        return f"{self.name} {self.version} for {self.target}, {self.precision}, content {self.content_digest[:12]}"

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "path": self.path,
            "name": self.name,
            "version": self.version,
            "target": self.target,
            "precision": self.precision,
            "content_digest": self.content_digest,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleDifference:
    """All that changed.

    Attributes:
        old, new: which bundles.
        warnings: why a comparison may mean less than it seems.
        sections: in the order in which people ask.
    """

    old: Identity
    new: Identity
    warnings: tuple[str, ...]
    sections: tuple[Section, ...]

    @property
    def equal(self) -> bool:
        return self.old.content_digest == self.new.content_digest

    def rows(self, *changes: Change) -> Iterator[tuple[str, Row]]:
        """Section title and row, of those that changed in one of these ways."""
        for section in self.sections:
            for row in section.rows:
                if row.change in changes:
                    yield section.title, row

    def failures(self, kind: FailOn) -> tuple[str, ...]:
        """Names of what `--fail-on KIND` fails for."""
        wanted: dict[FailOn, tuple[Change, ...]] = {
            "regression": ("worse", "breaking"),
            "signature": ("breaking",),
            "any": ("better", "changed", "worse", "breaking"),
        }
        return tuple(f"{title}: {row.name}" for title, row in self.rows(*wanted[kind]))

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "schema_version": SCHEMA_VERSION,
            "old": self.old.to_json(),
            "new": self.new.to_json(),
            "equal": self.equal,
            "warnings": list(self.warnings),
            "counts": {
                kind: len(list(self.rows(kind))) for kind in ("breaking", "worse", "better", "changed", "noise")
            },
            "sections": [section.to_json() for section in self.sections],
        }
