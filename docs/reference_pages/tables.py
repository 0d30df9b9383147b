"""Tables of keys: from a pydantic model, and from the `Attributes:` of a docstring."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

import pydantic
from pydantic.fields import FieldInfo

from edgetool.config import schema
from edgetool.config.annotations import models_of
from edgetool.config.units import byte_count, fraction, seconds
from edgetool.config.write import toml_value

_QUANTITIES = {seconds: 'time, "12ms"', byte_count: 'size, "20MiB"', fraction: 'share, "1%" or 0.01'}
_PLAIN = {int: "whole number", float: "number", str: "text", bool: "true or false", type(None): ""}


def summary_of(thing: object) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((thing.__doc__ or "").split("\n\n")[0].split())


def attributes_of(kind: type) -> dict[str, str]:
    """What the `Attributes:` of a class and of those it extends say, by name."""
    found: dict[str, str] = {}
    for cls in reversed(kind.__mro__):
        _, _, text = (cls.__doc__ or "").partition("Attributes:\n")
        rows = re.findall(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", text, re.M)
        found |= {name: " ".join(meaning.split()) for name, meaning in rows}
    return found


def table(title: str, model: type[pydantic.BaseModel], path: str) -> Iterator[str]:
    """One section a table, those inside of it after it; `path` is its header in the file."""
    yield from [f"## {title}", "", _summary(model), ""]
    if not model.model_fields:
        yield from ["No options.", ""]
        return
    yield from ["| key | value | default | meaning |", "|---|---|---|---|"]
    inner: list[tuple[str, type[pydantic.BaseModel]]] = []
    for name, field in model.model_fields.items():
        key = field.alias or name
        below = f"{path}.{key}".lstrip(".")
        inner += [(below + suffix, inside) for suffix, inside in _tables_in(field.annotation)]
        yield f"| `{key}` | {_kind(field)} | {_default(field)} | {cell(field.description or '')} |"
    yield ""
    for below, inside in inner:
        yield from table(f"`[{below}]`", inside, below)


def _summary(model: type[pydantic.BaseModel]) -> str:
    """The docstring, without the header that it may begin with."""
    text = " ".join((model.__doc__ or "").split())
    if text.startswith("`[") and ": " in text:
        text = text.split(": ", 1)[1]
    return text[:1].upper() + text[1:]


def _tables_in(annotation: Any) -> Iterator[tuple[str, type[pydantic.BaseModel]]]:
    """Tables behind a key, and what stands between its name and theirs."""
    for model in models_of(annotation):
        yield "", model
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is dict:
        yield from ((f".NAME{suffix}", model) for suffix, model in _tables_in(arguments[1]))
    elif origin is list:
        yield from ((f"[]{suffix}", model) for suffix, model in _tables_in(arguments[0]))


def _kind(field: FieldInfo) -> str:
    for mark in field.metadata:
        if isinstance(mark, pydantic.BeforeValidator) and mark.func in _QUANTITIES:
            return _QUANTITIES[mark.func]
    return cell(_name_of(field.annotation))


def _name_of(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    for mark in arguments[1:] if hasattr(annotation, "__metadata__") else ():
        if isinstance(mark, pydantic.BeforeValidator) and mark.func in _QUANTITIES:
            return _QUANTITIES[mark.func]
    if annotation is schema.Pair:
        return "[height, width]"
    if hasattr(annotation, "__metadata__"):
        return _name_of(annotation.__origin__)
    if origin is Literal:
        return ", ".join(f"`{toml_value(choice)}`" for choice in arguments)
    if origin in (list, tuple):
        return f"list of {_name_of(arguments[0])}" if not next(models_of(arguments[0]), None) else "list of tables"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "table of tables" if next(models_of(arguments[1]), None) else "table"
    if arguments:
        return " or ".join(filter(None, (_name_of(argument) for argument in arguments)))
    return "table" if next(models_of(annotation), None) else _PLAIN.get(annotation, "any")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    extra = field.json_schema_extra
    value = field.get_default(call_default_factory=True)
    if isinstance(extra, dict) and "default" in extra:
        value = extra["default"]
    if value is None or value in ([], {}) or isinstance(value, pydantic.BaseModel):
        return ""
    return f"`{toml_value(round(value, 6) if isinstance(value, float) else value)}`"


def cell(text: str) -> str:
    return text.replace("|", "\\|")
