"""Checks one merged file against the schema and puts what pydantic finds into the words of the user's file."""

from __future__ import annotations

import json
import math
import types
from collections.abc import Collection, Iterator, Mapping
from datetime import date, datetime, time
from typing import Any, Union, get_args, get_origin

import pydantic
from pydantic_core import ErrorDetails

from edgetool.config.mistakes import Mistake, did_you_mean, one_of
from edgetool.config.positions import KeyPath
from edgetool.config.schema import ModelTable, TargetsFile
from edgetool.config.tree import Tree, dotted

_WANTED = {
    "bool_type": "true or false",
    "dict_type": "a table",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_type": "a table",
    "string_type": 'text in "quotes"',
    "tuple_type": "a list",
}


def check_schema(tree: Tree) -> tuple[TargetsFile | None, list[Mistake]]:
    """The parsed file, or everything that keeps it from being parsed."""
    unfit = {mistake.path: mistake for mistake in _unfit_for_json(tree)}
    try:
        return TargetsFile.model_validate(tree.values), list(unfit.values())
    except pydantic.ValidationError as error:
        found = {mistake.path: mistake for mistake in _mistakes(tree, error)}
        return None, list({**unfit, **found}.values())


def check_model(tree: Tree, known_importers: Collection[str]) -> Iterator[Mistake]:
    """`[model]` holds, beside its own keys, only tables named like an importer."""
    model = tree.below(("model",)).values
    importers = {*known_importers, model.get("importer")} - {None}
    for key, value in model.items():
        if key in ModelTable.model_fields:
            continue
        path: KeyPath = ("model", key)
        if key not in importers:
            hint = did_you_mean(key, {*ModelTable.model_fields, *map(str, importers)})
            yield Mistake("unknown-key", tree.origin(path), path, "unknown key", hint)
        elif not isinstance(value, dict):
            yield Mistake("invalid-value", tree.origin(path), path, "wants a table of the importer's options")


def unused_dims(file: TargetsFile, tree: Tree) -> Iterator[Mistake]:
    """A range that no declared input has; without declared inputs the source knows."""
    if file.model is None or not file.model.inputs:
        return
    used = {dim for table in file.model.inputs.values() for dim in table.shape if isinstance(dim, str)}
    for name in file.model.dims.keys() - used:
        path: KeyPath = ("model", "dims", name)
        yield Mistake(
            "unused-dimension", tree.origin(path), path, "no input has it", one_of(name, used, what="dimensions")
        )


def _mistakes(tree: Tree, error: pydantic.ValidationError) -> Iterator[Mistake]:
    """Alternatives of one union come as several errors of one value: they make one mistake."""
    rows: dict[KeyPath, list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        rows.setdefault(_path_in(tree, details), []).append(details)
    for path, alternatives in rows.items():
        yield _mistake(tree, path, alternatives)


def _path_in(tree: Tree, details: ErrorDetails) -> KeyPath:
    """pydantic also names the alternatives of unions on the way; only what is in the file counts."""
    path: KeyPath = ()
    for part in details["loc"]:
        if tree.value((*path, part)) is not None:
            path = (*path, part)
    return (*path, str(details["loc"][-1])) if details["type"] == "missing" else path


def _mistake(tree: Tree, path: KeyPath, alternatives: list[ErrorDetails]) -> Mistake:
    first = alternatives[0]
    kind = first["type"]
    origin = tree.origin(path)
    if kind == "extra_forbidden":
        return Mistake("unknown-key", origin, path, "unknown key", suggestion(path))
    if kind == "missing":
        return Mistake("missing-key", origin, path, "the key is missing", _misspelt(tree, path))
    if first["loc"][-1] == "[key]":
        return Mistake(
            "invalid-name",
            origin,
            path,
            "not a name that can be part of a file's name",
            "use letters, digits, '.', '_' and '-', a letter or digit first, 80 at most",
            of_table=True,
        )
    if kind == "literal_error":
        choices = [str(choice) for choice in get_args(_annotation(path))] or [first["ctx"]["expected"]]
        hint = did_you_mean(str(first["input"]), choices)
        return Mistake(
            "invalid-value", origin, path, f"wants one of {', '.join(choices)}, got {_shown(first['input'])}", hint
        )
    wanted = dict.fromkeys(_WANTED[row["type"]] for row in alternatives if row["type"] in _WANTED)
    if len(wanted) == len(alternatives):
        return Mistake("invalid-value", origin, path, f"wants {' or '.join(wanted)}, got {_shown(first['input'])}")
    odd = next(row for row in alternatives if row["type"] not in _WANTED)
    text = odd["msg"].removeprefix("Value error, ")
    if odd["type"] != "value_error":
        text = f"{text[:1].lower()}{text[1:]}, got {_shown(odd['input'])}".replace("input should", "must")
    return Mistake("invalid-value", origin, path, text, of_table=isinstance(tree.value(path), dict))


def _shown(value: object) -> str:
    """As TOML writes it, for the scalars that it shares with JSON."""
    if isinstance(value, (dict, list)):
        return "a table" if isinstance(value, dict) else "a list"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (str, bool, int)) else str(value)


def suggestion(path: KeyPath) -> str | None:
    """What an unknown key may have been meant to be: the nearest one, else the table beside it that has such a key."""
    *table, key = path
    fields = _fields(_annotation(tuple(table)))
    near = did_you_mean(str(key), fields)
    if near:
        return near
    for name, annotation in fields.items():
        if key in _fields(annotation):
            return f"it belongs into [{dotted((*table, name))}]"
    return f"known keys: {', '.join(sorted(fields))}" if fields else None


def _misspelt(tree: Tree, path: KeyPath) -> str | None:
    """What a missing key is for, and whether one beside it looks like it."""
    *table, key = path
    annotation = _annotation(tuple(table))
    beside = tree.below(tuple(table)).values.keys() - _fields(annotation).keys()
    near = did_you_mean(str(key), beside)
    if near:
        return near.replace("did you mean", "is it misspelt as")
    texts = {
        field.alias or name: field.description
        for model in _models(annotation)
        for name, field in model.model_fields.items()
    }
    return f"it is for: {texts.get(str(key))}"


def _annotation(path: KeyPath) -> Any:
    """The type that the schema gives to a path; None where it says nothing."""
    found: Any = TargetsFile
    for part in path:
        found = _below(found, part)
    return found


def _below(annotation: Any, part: str | int) -> Any:
    fields = _fields(annotation)
    if part in fields:
        return fields[str(part)]
    for kind in _alternatives(annotation):
        arguments = get_args(kind)
        if get_origin(kind) is dict and isinstance(part, str):
            return arguments[1]
        if get_origin(kind) is list and isinstance(part, int):
            return arguments[0]
    return None


def _fields(annotation: Any) -> Mapping[str, Any]:
    """Key to type for a table of the schema, as the file spells the keys."""
    return {
        field.alias or name: field.annotation
        for model in _models(annotation)
        for name, field in model.model_fields.items()
    }


def _models(annotation: Any) -> Iterator[type[pydantic.BaseModel]]:
    for kind in _alternatives(annotation):
        if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
            yield kind


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def _unfit_for_json(tree: Tree) -> Iterator[Mistake]:
    """Plugins' tables are passed on as JSON, which knows neither dates nor nan: refuse both everywhere."""
    for path, origin in tree.origins.items():
        value = tree.value(path)
        if isinstance(value, (date, datetime, time)):
            yield Mistake("invalid-value", origin, path, f"wants no date, got {value}", "write it in quotes")
        elif isinstance(value, float) and not math.isfinite(value):
            yield Mistake("invalid-value", origin, path, f"wants a finite number, got {value}")
