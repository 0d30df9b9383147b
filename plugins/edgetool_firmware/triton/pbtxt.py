"""Protobuf's text format: fields in order, nested messages in braces, strings as escaped UTF-8."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Word:
    """A value of an enumeration."""

    text: str


@dataclass(frozen=True, slots=True)
class Message:
    """Fields by name; one that is repeated stands there several times."""

    fields: Sequence[tuple[str, Value]]


Value: TypeAlias = "str | int | bool | Word | Message | tuple[int, ...]"


def text_of(message: Message) -> str:
    """The message as the content of a file."""
    return "".join(f"{line}\n" for line in _lines(message))


def _lines(message: Message) -> Iterable[str]:
    for name, value in message.fields:
        if isinstance(value, Message):
            yield f"{name} {{"
            yield from (f"  {line}" for line in _lines(value))
            yield "}"
        else:
            yield f"{name}: {_scalar(value)}"


def _scalar(value: str | int | bool | Word | tuple[int, ...]) -> str:
    if isinstance(value, str):
        return f'"{"".join(map(_escaped, value.encode()))}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Word):
        return value.text
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return str(value)


def _escaped(byte: int) -> str:
    """Octal where it is not plain ASCII: three digits, so that none that follows is taken for a part of it."""
    return chr(byte) if 0x20 <= byte < 0x7F and chr(byte) not in '"\\' else f"\\{byte:03o}"
