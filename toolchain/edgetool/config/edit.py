"""Changes a targets file in place: comments, order and spelling of everything else stay as they are."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from stat import S_IMODE
from typing import Any

from edgetool.config.positions import KeyPath, key_lines
from edgetool.config.tree import dotted
from edgetool.config.write import toml_value
from edgetool.disk import host_errors, only_writer, replace_file
from edgetool.errors import ConfigError

_WIDTH = 110
_TEXT = r"(?:\"(?:\\.|[^\"\\\n])*\"|'[^'\n]*')"
_RECIPE_LINE = re.compile(rf"(?P<before>\s*recipe\s*=\s*){_TEXT}(?P<after>.*)", re.DOTALL)


def write_recipe(path: Path, target: str, name: str, passes: Sequence[Mapping[str, Any]], *, remark: str) -> None:
    """Write `[recipes.NAME]` and let the target use it.

    Args:
        path: the targets file.
        target: its name; what it says of `recipe`, `precision` and `candidates` is replaced.
        name: of the recipe; one of this name is replaced.
        passes: `use` and options of each.
        remark: a comment above the recipe.

    Raises:
        ConfigError: the file is written in a way that cannot be changed safely; the hint has what to write by hand.
        HostError: the file cannot be written.
    """
    block = recipe_text(name, passes, remark=remark)
    with host_errors(path):
        place = path.resolve()  # a link stays one
    with only_writer(place):  # searches for several targets of one file may end at the same time
        with host_errors(path):
            text = place.read_bytes().decode("utf-8-sig")
            mode = S_IMODE(place.stat().st_mode)
        before = tomllib.loads(text)
        try:
            changed = _with_target(_with_recipe(text, name, block), target, name)
            sound = tomllib.loads(changed) == _expected(before, target, name, passes)
        except (tomllib.TOMLDecodeError, _Unwritable) as error:
            raise _refusal(path, target, name, block) from error
        if not sound:
            raise _refusal(path, target, name, block)
        replace_file(place, changed.encode())
        with host_errors(path):
            place.chmod(mode)


def recipe_text(name: str, passes: Sequence[Mapping[str, Any]], *, remark: str | None = None) -> str:
    """A recipe as a table of its own."""
    lines = [f"# {remark}"] if remark else []
    lines.append(f"[{dotted(('recipes', name))}]")
    if not passes:
        return "\n".join([*lines, "passes = []\n"])
    return "\n".join([*lines, "passes = [", *(f"  {_inline(row)}," for row in passes), "]\n"])


def _inline(row: Mapping[str, Any]) -> str:
    """One pass in braces; lists that would make the line too long have a line for each item."""
    line = toml_value(row)
    if len(line) <= _WIDTH:
        return line
    parts = []
    for key, value in row.items():
        if isinstance(value, (list, tuple)) and value:
            items = "".join(f"    {toml_value(item)},\n" for item in value)
            parts.append(f"{dotted((key,))} = [\n{items}  ]")
        else:
            parts.append(f"{dotted((key,))} = {toml_value(value)}")
    return f"{{ {', '.join(parts)} }}"


class _Unwritable(Exception):  # noqa: N818 - never leaves this module
    """The place to change is not written as a table of its own."""


def _expected(before: Mapping[str, Any], target: str, name: str, passes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    recipes = {**before.get("recipes", {}), name: {"passes": tomllib.loads(f"p = {toml_value(list(passes))}")["p"]}}
    own = before.get("targets", {}).get(target, {})
    kept = {key: value for key, value in own.items() if key not in ("precision", "candidates")}
    return {
        **before,
        "recipes": recipes,
        "targets": {**before.get("targets", {}), target: {**kept, "recipe": name}},
    }


def _with_recipe(text: str, name: str, block: str) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    block = block.replace("\n", newline)
    found = key_lines(text)
    lines = text.splitlines(keepends=True)
    if ("recipes", name) in found:
        start, end = _table(lines, found, ("recipes", name))
        if start and lines[start - 1].startswith("# tune: ") and block.startswith("# tune: "):
            start -= 1
        return "".join([*lines[:start], block, *lines[end:]])
    ends = [
        _table(lines, found, path)[1]
        for path in found
        if len(path) == 2 and path[0] == "recipes" and lines[found[path] - 1].lstrip().startswith("[")
    ]
    if not ends:
        return _ended(text, newline) + newline + block
    at = max(ends)
    if not lines[at - 1].endswith("\n"):
        lines[at - 1] += newline
    return "".join([*lines[:at], newline, block, *lines[at:]])


def _with_target(text: str, target: str, name: str) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    entry = f"recipe = {toml_value(name)}{newline}"
    for key in ("candidates", "precision"):
        found = key_lines(text)
        if ("targets", target, key) in found:
            lines = text.splitlines(keepends=True)
            start = found["targets", target, key] - 1
            text = "".join([*lines[:start], *lines[_assigned(lines, start) :]])
    found = key_lines(text)
    lines = text.splitlines(keepends=True)
    if ("targets", target, "recipe") in found:
        at = found["targets", target, "recipe"] - 1
        match = _RECIPE_LINE.fullmatch(lines[at])
        if match is None:
            raise _Unwritable
        lines[at] = f"{match['before']}{toml_value(name)}{match['after']}"
        return "".join(lines)
    if ("targets", target) in found:
        at = found["targets", target] - 1
        if not re.match(r"\s*\[targets\.[^\].]+\]|\s*\[targets\.\"[^\"]+\"\]", lines[at]):
            raise _Unwritable
        if not lines[at].endswith("\n"):
            lines[at] += newline
        return "".join([*lines[: at + 1], entry, *lines[at + 1 :]])
    return f"{_ended(text, newline)}{newline}[{dotted(('targets', target))}]{newline}{entry}"


def _ended(text: str, newline: str) -> str:
    return text if not text or text.endswith("\n") else text + newline


def _table(lines: Sequence[str], found: Mapping[KeyPath, int], path: KeyPath) -> tuple[int, int]:
    """First line of a table that has a header of its own, and the line after its last key; from 0."""
    start = found[path] - 1
    if not lines[start].lstrip().startswith("["):
        raise _Unwritable
    keys = [line - 1 for key, line in found.items() if len(key) == len(path) + 1 and key[: len(path)] == path]
    return start, max([_assigned(lines, line) for line in keys], default=start + 1)


def _assigned(lines: Sequence[str], start: int) -> int:
    """The line after an assignment, which may go over several lines."""
    for end in range(start + 1, len(lines) + 1):
        try:
            tomllib.loads("".join(lines[start:end]))
        except tomllib.TOMLDecodeError:
            continue
        return end
    raise _Unwritable


def _refusal(path: Path, target: str, name: str, block: str) -> ConfigError:
    return ConfigError(
        "uneditable-targets-file",
        "the recipe cannot be written into this file without disturbing what is there",
        where=str(path),
        hint=f"write recipe = {toml_value(name)} into [targets.{target}], and this table:\n{block}",
    )
