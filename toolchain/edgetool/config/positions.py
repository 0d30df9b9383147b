"""Finds the line of every key in a TOML text: the parser of the standard library does not keep them.

The text has passed `tomllib` already, so this scanner only needs to find its way, not to judge.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping
from typing import TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]
"""From the root of a document to a value: keys of tables, indices of lists."""

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}(?!")'
    r"|'''.*?'{3,5}(?!')"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]*")


def key_lines(text: str) -> Mapping[KeyPath, int]:
    """Line number, from 1, of each table header, key and list item of a valid TOML text."""
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


class _Scanner:
    """Walks over the text once; `at` is the offset of the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[KeyPath, int] = {}
        self._newlines = [match.start() for match in re.finditer("\n", text)]
        self._array_lengths: dict[KeyPath, int] = {}

    def document(self) -> None:
        table: KeyPath = ()
        self._skip_blank()
        while self.at < len(self.text):
            if self.text.startswith("[[", self.at):
                table = self._array_header()
            elif self.text[self.at] == "[":
                table = self._table_header()
            else:
                self._assignment(table)
            self._skip_blank()

    def _table_header(self) -> KeyPath:
        line = self._line()
        self.at += 1
        path = self._in_arrays(self._key())
        self._skip_past("]")
        self._mark(path, line)
        return path

    def _array_header(self) -> KeyPath:
        line = self._line()
        self.at += 2
        *parents, last = self._key()
        path = (*self._in_arrays(tuple(parents)), last)
        self._skip_past("]]")
        index = self._array_lengths.get(path, 0)
        self._array_lengths[path] = index + 1
        self._mark(path, line)
        self._mark((*path, index), line)
        return (*path, index)

    def _in_arrays(self, key: KeyPath) -> KeyPath:
        """`[fruit.skin]` below `[[fruit]]` belongs to the latest fruit."""
        path: KeyPath = ()
        for part in key:
            path = (*path, part)
            if path in self._array_lengths:
                path = (*path, self._array_lengths[path] - 1)
        return path

    def _assignment(self, table: KeyPath) -> None:
        line = self._line()
        path = table
        for part in self._key():
            path = (*path, part)
            self._mark(path, line)
        self._skip_past("=")
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        self._skip_blank()
        if self.text[self.at] == "[":
            self._items(path)
        elif self.text[self.at] == "{":
            self._inline_table(path)
        else:
            self._match(_STRING if self.text[self.at] in "\"'" else _SCALAR)

    def _items(self, path: KeyPath) -> None:
        self.at += 1
        index = 0
        while not self._closes("]"):
            item = (*path, index)
            self._mark(item, self._line())
            self._value(item)
            index += 1

    def _inline_table(self, path: KeyPath) -> None:
        self.at += 1
        while not self._closes("}"):
            self._assignment(path)

    def _closes(self, bracket: str) -> bool:
        """Steps over blanks, one comma and the closing bracket, and tells whether that was met."""
        self._skip_blank()
        if self.text[self.at] == ",":
            self.at += 1
            self._skip_blank()
        if self.text[self.at] != bracket:
            return False
        self.at += 1
        return True

    def _key(self) -> KeyPath:
        parts: list[str] = []
        while True:
            self._skip_blank()
            if self.text[self.at] in "\"'":
                parts.append(tomllib.loads(f"key = {self._match(_STRING)}")["key"])
            else:
                parts.append(self._match(_BARE_KEY))
            self._skip_blank()
            if self.text[self.at] != ".":
                return tuple(parts)
            self.at += 1

    def _match(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise ValueError(f"line {self._line()} is not TOML")
        self.at = match.end()
        return match[0]

    def _skip_blank(self) -> None:
        self._match(_BLANK)

    def _skip_past(self, token: str) -> None:
        self.at = self.text.index(token, self.at) + len(token)

    def _mark(self, path: KeyPath, line: int) -> None:
        self.lines.setdefault(path, line)

    def _line(self) -> int:
        return bisect_right(self._newlines, self.at - 1) + 1
