"""A difference for a merge request: the same tables in the dialect that GitHub and GitLab share."""

from __future__ import annotations

from collections.abc import Iterator

from edgetool.bundle.verify import printable
from edgetool.diff.rows import BundleDifference, Row, Section
from edgetool.diff.text import MARKS, headline

_LOUD = frozenset({"breaking", "worse"})
_FOLDED = frozenset({"source and data", "passes and options", "toolchain", "target", "signing"})
"""Sections that are closed until somebody opens them: they explain the others."""


def difference_markdown(found: BundleDifference) -> str:
    """A document with one heading of the third level."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: BundleDifference) -> Iterator[str]:
    yield f"### {_escaped(found.new.name)} for {_escaped(found.new.target)}: {headline(found)}"
    yield ""
    yield f"old: {_escaped(str(found.old))}  "
    yield f"new: {_escaped(str(found.new))}"
    for warning in found.warnings:
        yield ""
        yield f"> **Warning:** {_escaped(warning)}"
    if found.equal:
        return
    for section in found.sections:
        if section.shown:
            yield ""
            yield from _section(section)
    if unchanged := [section.title for section in found.sections if not section.shown]:
        yield ""
        yield f"Unchanged: {', '.join(unchanged)}."


def _section(section: Section) -> Iterator[str]:
    if section.title in _FOLDED:
        yield f"<details><summary>{section.title}: {sum(row.moved for row in section.rows)} changed</summary>"
        yield ""
    yield f"| {section.title} | old | new | | |"
    yield "|---|---|---|---|---|"
    for row in section.shown:
        yield _row(row)
    if section.title in _FOLDED:
        yield ""
        yield "</details>"


def _row(row: Row) -> str:
    mark = f"**{MARKS[row.change]}**" if row.change in _LOUD else MARKS[row.change]
    cells = (_escaped(row.name), _escaped(row.old), _escaped(row.new), mark, _escaped(row.note))
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    """Names come from models: none may end a cell, open a tag, or mention a person."""
    for sign in "\\`*_{}[]<>|@#":
        text = text.replace(sign, f"\\{sign}" if sign not in "<>@" else f"&#{ord(sign)};")
    return printable(" ".join(text.split()))
