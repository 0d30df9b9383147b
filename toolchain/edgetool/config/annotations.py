"""Walks over pydantic models along the path of a key: which table is that, which keys and values does it know?"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

import pydantic
from pydantic.fields import FieldInfo

from edgetool.config.positions import KeyPath

Annotation: TypeAlias = Any
"""Whatever may stand behind the colon of a field; None where the schema says nothing."""


def annotation_at(model: type[pydantic.BaseModel], path: KeyPath) -> Annotation:
    """The type that a model gives to the value at a path."""
    found: Annotation = model
    for part in path:
        found = _below(found, part)
    return found


def fields_of(annotation: Annotation) -> Mapping[str, FieldInfo]:
    """The keys of a table, as files spell them; none where the type is no table."""
    return {field.alias or name: field for model in models_of(annotation) for name, field in model.model_fields.items()}


def models_of(annotation: Annotation) -> Iterator[type[pydantic.BaseModel]]:
    """The tables among the alternatives of a type."""
    for kind in _alternatives(annotation):
        if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
            yield kind


def choices_of(annotation: Annotation) -> tuple[str, ...]:
    """The literals among the alternatives of a type."""
    return tuple(
        str(value) for kind in _alternatives(annotation) if _origin(kind) is Literal for value in get_args(kind)
    )


def _below(annotation: Annotation, part: str | int) -> Annotation:
    if part in (fields := fields_of(annotation)):
        return fields[str(part)].annotation
    for kind in _alternatives(annotation):
        arguments = get_args(kind)
        if _origin(kind) is dict and isinstance(part, str):
            return arguments[1]
        if _origin(kind) is list and isinstance(part, int):
            return arguments[0]
    return None


def _alternatives(annotation: Annotation) -> tuple[Annotation, ...]:
    if _origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if _origin(annotation) in (Union, types.UnionType):
        return tuple(kind for below in get_args(annotation) for kind in _alternatives(below))
    return (annotation,)


def _origin(annotation: Annotation) -> object:
    """`get_origin` is typed for type checkers' own use; here any object may come out."""
    return get_origin(annotation)
