"""Which options a trtexec takes: by the table of what each release has, and by what a device's own help lists."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from edgetool_tensorrt.version import Version

_LISTED = re.compile(r"^ {1,4}--(\w+)(?:=\S+)?(?:(?:, *| or )--?(\w+))?", re.MULTILINE)
"""An option at the start of a line of the help; lines that go on with a description are indented further."""


@dataclass(frozen=True, slots=True)
class _Span:
    """Options that came and went together."""

    since: tuple[int, int]
    until: tuple[int, int] | None
    names: frozenset[str]

    def covers(self, release: tuple[int, int]) -> bool:
        return self.since <= release and (self.until is None or release <= self.until)


@dataclass(frozen=True, slots=True)
class _Table:
    options: tuple[_Span, ...]
    hidden: tuple[_Span, ...]
    releases: tuple[Version, ...]


def taken(version: Version) -> frozenset[str]:
    """Options that trtexec of a version takes, by the table."""
    return _of(_table().options, version)


def listed(version: Version) -> frozenset[str]:
    """Options that the help of trtexec of a version lists, by the table: not all that it takes."""
    return taken(version) - _of(_table().hidden, version)


def releases() -> tuple[Version, ...]:
    """The releases whose sources the table was read from, oldest first."""
    return _table().releases


def offered(help_text: str) -> frozenset[str]:
    """The long options that the help of a device's trtexec lists, without dashes."""
    return frozenset(name for match in _LISTED.findall(help_text) for name in match if len(name) > 1)


def _of(spans: Iterable[_Span], version: Version) -> frozenset[str]:
    release = version.release()
    return frozenset(name for span in spans if span.covers(release) for name in span.names)


@cache
def _table() -> _Table:
    data = tomllib.loads(files("edgetool_tensorrt.trtexec").joinpath("options.toml").read_text(encoding="utf-8"))
    return _Table(
        options=tuple(map(_span, data["options"])),
        hidden=tuple(map(_span, data["hidden"])),
        releases=tuple(map(Version.parse, data["releases"])),
    )


def _span(row: Mapping[str, Any]) -> _Span:
    until = Version.parse(row["until"]).release() if "until" in row else None
    return _Span(Version.parse(row["since"]).release(), until, frozenset(row["names"]))
