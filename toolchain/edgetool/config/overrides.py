"""`--set key=value`: one value of targets.toml changed from the command line."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from edgetool.config.positions import KeyPath
from edgetool.config.tree import Origin, Tree, dotted
from edgetool.errors import ConfigError
from edgetool.nearest import one_of

_EXAMPLE = "write --set KEY=VALUE, such as --set targets.jetson.budget.size=10MiB"


@dataclass(frozen=True, slots=True)
class Override:
    """A parsed `--set`.

    Attributes:
        text: as the user wrote it.
        key: the dotted key; positions in lists are numbers from 0.
        value: parsed as TOML, or the bare text where it is not TOML.
    """

    text: str
    key: tuple[str, ...]
    value: object


def parse_override(text: str) -> Override:
    """`recipes.int8.passes.1.per_channel=false` -> key and value. Raises ConfigError."""
    key, equals, value = text.partition("=")
    try:
        parsed = tomllib.loads(f"{key} = 0") if equals and "\n" not in key else {}
    except (ValueError, RecursionError) as error:
        raise ConfigError("invalid-override", f"{key!r} is not a key", where=f"--set {text}", hint=_EXAMPLE) from error
    path: list[str] = []
    below: Any = parsed
    while isinstance(below, dict) and below:
        ((part, below),) = below.items()
        path.append(part)
    if not path:
        raise ConfigError("invalid-override", "there is no key or no =", where=f"--set {text}", hint=_EXAMPLE)
    return Override(text, tuple(path), _value(value.strip()))


def _value(text: str) -> object:
    """Quotes are optional: what is not TOML, or would be a date, is text."""
    try:
        value = tomllib.loads(f"value = {text}")["value"] if "\n" not in text else text
    except (ValueError, RecursionError):
        return text
    return text if isinstance(value, (date, datetime, time)) else value


def apply_overrides(tree: Tree, overrides: Sequence[str]) -> Tree:
    """A new tree; the given one is untouched.

    Raises:
        ConfigError: a key cannot be parsed, or names a target, recipe or list item that is not there.
    """
    for text in overrides:
        tree = _set(tree, parse_override(text))
    return tree


def _set(tree: Tree, override: Override) -> Tree:
    _refuse_new_names(tree, override)
    origins = dict(tree.origins)
    origin = Origin("override", f"--set {dotted(override.key)}")
    path: KeyPath = ()
    values: dict[str, Any] = dict(tree.values)
    container: Any = values
    for part in override.key[:-1]:
        index = _index(container, part, override)
        path = (*path, index)
        found = container.get(index, {}) if isinstance(container, dict) else container[index]
        if not isinstance(found, (dict, list)):
            raise ConfigError(
                "invalid-override",
                f"{dotted(path)} is a single value, there is nothing below it",
                where=f"--set {override.text}",
                hint=_EXAMPLE,
            )
        copy = found.copy()
        container[index] = copy
        container = copy
        origins.setdefault(path, origin)
    index = _index(container, override.key[-1], override)
    container[index] = override.value
    path = (*path, index)
    # What stood below the key is gone, and its lines with it.
    origins = {key: where for key, where in origins.items() if key[: len(path)] != path}
    return Tree(values, {**origins, path: origin})


def _index(container: dict[str, Any] | list[Any], part: str, override: Override) -> str | int:
    if isinstance(container, dict):
        return part
    if part.isdigit() and int(part) < len(container):
        return int(part)
    raise ConfigError(
        "invalid-override",
        f"{part!r} is no position in a list of {len(container)}",
        where=f"--set {override.text}",
        hint="positions count from 0",
    )


def _refuse_new_names(tree: Tree, override: Override) -> None:
    """A mistyped name would silently define a target that nobody builds."""
    kind, *rest = override.key
    if kind not in ("targets", "recipes") or not rest:
        return
    known = tree.values.get(kind, {})
    if isinstance(known, dict) and rest[0] not in known:
        raise ConfigError(
            f"unknown-{kind[:-1]}",
            f"there is no {kind[:-1]} {rest[0]!r}",
            where=f"--set {override.text}",
            hint=one_of(rest[0], known, what=kind),
        )
