"""Files that are the same for every bundle but for a few words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import TypeAlias

Words: TypeAlias = Mapping[str, str | tuple[str, ...]]
"""A value for each `@WORD@` of a template. A line whose word has several values is repeated, and left out where there
are none. Values go in as they are: whoever gives them has seen to it that they mean nothing but themselves."""

_WORD = re.compile(r"@([A-Z][A-Z0-9_]*)@")


def fill(package: str, name: str, words: Words) -> str:
    """A template with its words put in.

    Args:
        package: the Python package that the template lies in.
        name: the template's file name.
        words: values; at most one word of a line has several.

    Raises:
        KeyError: a word has no value.
        ValueError: a value has more than one line.
    """
    lines = files(package).joinpath(name).read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(filled for line in lines for filled in _filled(line, words))


def write_filled(destination: Path, package: str, name: str, words: Words) -> None:
    """`fill` into a new file; folders above it are made."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    destination.write_text(fill(package, name, words), encoding="utf-8")


def _filled(line: str, words: Words) -> Iterator[str]:
    given = {word: words[word] for word in _WORD.findall(line)}
    values = {word: (value,) if isinstance(value, str) else value for word, value in given.items()}
    if broken := [word for word, several in values.items() if not all(map(str.isprintable, several))]:
        raise ValueError(f"{broken[0]} is not one line")
    count = max(map(len, values.values()), default=1) if all(values.values()) else 0
    for index in range(count):
        chosen = {word: several[index % len(several)] for word, several in values.items()}
        yield _WORD.sub(lambda match, chosen=chosen: chosen[match[1]], line)  # type: ignore[misc]  # mypy and defaults
