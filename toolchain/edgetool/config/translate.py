"""Puts what pydantic finds into the words of the user's file: the line, the key, what it wants and what it got."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pydantic
from pydantic_core import ErrorDetails

from edgetool.config.annotations import annotation_at, choices_of, fields_of
from edgetool.config.mistakes import Mistake
from edgetool.config.positions import KeyPath
from edgetool.config.tree import Tree, dotted
from edgetool.nearest import did_you_mean

_WANTED = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "a table",
    "float_parsing": "a number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_type": "a table",
    "string_type": 'text in "quotes"',
    "tuple_type": "a list",
}


def mistakes_from(
    error: pydantic.ValidationError, tree: Tree, model: type[pydantic.BaseModel], *, at: KeyPath = ()
) -> Iterator[Mistake]:
    """One mistake for each value that the model refuses; alternatives of a union count as one.

    Args:
        error: what the model's validation raised.
        tree: the whole file.
        model: what was validated.
        at: path of the table that was validated.
    """
    rows: dict[KeyPath, list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        rows.setdefault(_path_in(tree, at, details), []).append(details)
    for path, alternatives in rows.items():
        yield _mistake(tree, model, at, path, alternatives)


def suggestion(model: type[pydantic.BaseModel], path: KeyPath, *, at: KeyPath = ()) -> str | None:
    """What an unknown key may have been meant to be: the nearest one, else the table beside it that has such a key."""
    *table, key = path
    fields = fields_of(annotation_at(model, tuple(table)))
    near = did_you_mean(str(key), fields)
    if near:
        return near
    for name, field in fields.items():
        if key in fields_of(field.annotation):
            return f"it belongs into [{dotted((*at, *table, name))}]"
    return f"known keys: {', '.join(sorted(fields))}" if fields else "there is nothing to set here"


def _path_in(tree: Tree, at: KeyPath, details: ErrorDetails) -> KeyPath:
    """Below `at`. pydantic also names the alternatives of unions on the way; only what is in the file counts."""
    path: KeyPath = ()
    for part in details["loc"]:
        if tree.value((*at, *path, part)) is not None:
            path = (*path, part)
    return (*path, str(details["loc"][-1])) if details["type"] == "missing" else path


def _mistake(
    tree: Tree, model: type[pydantic.BaseModel], at: KeyPath, path: KeyPath, alternatives: list[ErrorDetails]
) -> Mistake:
    first = alternatives[0]
    full = (*at, *path)
    origin = tree.origin(full)
    match first["type"]:
        case "extra_forbidden":
            return Mistake("unknown-key", origin, full, "unknown key", suggestion(model, path, at=at))
        case "missing":
            return Mistake("missing-key", origin, full, "the key is missing", _misspelt(tree, model, at, path))
        case "literal_error":
            choices = choices_of(annotation_at(model, path)) or (str(first["ctx"]["expected"]),)
            text = f"wants one of {', '.join(choices)}, got {_shown(first['input'])}"
            return Mistake("invalid-value", origin, full, text, did_you_mean(str(first["input"]), choices))
    if first["loc"] and first["loc"][-1] == "[key]":
        text = "not a name that can be part of a file's name"
        hint = "use letters, digits, '.', '_' and '-', a letter or digit first, 80 at most"
        return Mistake("invalid-name", origin, full, text, hint, of_table=True)
    of_table = isinstance(tree.value(full), dict)
    return Mistake("invalid-value", origin, full, refusal(alternatives), of_table=of_table)


def refusal(alternatives: list[ErrorDetails]) -> str:
    """What one value should have been, in our words; `alternatives` are what each member of a union said."""
    wanted = dict.fromkeys(_WANTED[row["type"]] for row in alternatives if row["type"] in _WANTED)
    odd = [row for row in alternatives if row["type"] not in _WANTED]
    if not odd:
        return f"wants {' or '.join(wanted)}, got {_shown(alternatives[0]['input'])}"
    text = odd[0]["msg"].removeprefix("Value error, ")
    if odd[0]["type"] == "value_error":
        return text
    return f"{text[:1].lower()}{text[1:]}, got {_shown(odd[0]['input'])}".replace("input should", "must")


def _misspelt(tree: Tree, model: type[pydantic.BaseModel], at: KeyPath, path: KeyPath) -> str | None:
    """What a missing key is for, and whether one beside it looks like it."""
    *table, key = path
    fields = fields_of(annotation_at(model, tuple(table)))
    beside = tree.below((*at, *table)).values.keys() - fields.keys()
    near = did_you_mean(str(key), beside)
    if near:
        return near.replace("did you mean", "is it misspelt as")
    return f"it is for: {fields[str(key)].description}" if str(key) in fields else None


def _shown(value: object) -> str:
    """As TOML writes it, for the scalars that it shares with JSON."""
    if isinstance(value, (dict, list)):
        return "a table" if isinstance(value, dict) else "a list"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (str, bool, int)) else str(value)
