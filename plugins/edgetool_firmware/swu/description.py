"""sw-description: what SWUpdate is told about the update, in libconfig's language."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

_SPECIAL = re.compile(r'[\x00-\x1f"\\\x7f]')


@dataclass(frozen=True, slots=True)
class Entry:
    """A member of the archive that SWUpdate writes to a path, while it reads it."""

    filename: str
    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Script:
    """A member of the archive that SWUpdate runs, with `preinst` and with `postinst`."""

    filename: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """When an installed version makes the installation superfluous: `install-if-different` or `install-if-higher`."""

    name: str
    version: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """The whole update.

    Attributes:
        version: of the update; `swupdate -N` and `-R` compare it.
        text: for people.
        boards: revisions by the name of the board.
        entries, script: in the order in which they lie in the archive, the script first.
        condition: on all entries; None installs always.
    """

    version: str
    text: str
    boards: Mapping[str, Sequence[str]]
    entries: Sequence[Entry]
    script: Script
    condition: Condition | None = None

    def __str__(self) -> str:
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        yield "software = {"
        yield f"  version = {_quoted(self.version)};"
        yield f"  description = {_quoted(self.text)};"
        for board, revisions in self.boards.items():
            listed = ", ".join(map(_quoted, revisions))
            yield f"  {board} = {{ hardware-compatibility: [ {listed} ]; }};"
        yield "  files: ("
        yield from _separated(self._file(entry) for entry in self.entries)
        yield "  );"
        yield "  scripts: ("
        yield f"    {_group(filename=self.script.filename, type='shellscript', sha256=self.script.sha256)}"
        yield "  );"
        yield "};"

    def _file(self, entry: Entry) -> str:
        extra = "installed-directly = true; "
        if self.condition is not None:
            name, version = _quoted(self.condition.name), _quoted(self.condition.version)
            extra += f"name = {name}; version = {version}; {self.condition.key} = true; "
        extra += 'properties = { create-destination = "true"; };'
        return _group(filename=entry.filename, path=entry.path, sha256=entry.sha256, rest=extra)


def _group(*, rest: str = "", **values: str) -> str:
    return "{ " + " ".join(f"{key} = {_quoted(value)};" for key, value in values.items()) + f" {rest}".rstrip() + " }"


def _separated(groups: Iterable[str]) -> Iterator[str]:
    rows = list(groups)
    for row in rows[:-1]:
        yield f"    {row},"
    yield f"    {rows[-1]}"


def _quoted(text: str) -> str:
    return '"' + _SPECIAL.sub(lambda match: f"\\x{ord(match[0]):02x}", text) + '"'
