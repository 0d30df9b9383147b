"""Reads a targets file and what it includes into one tree, before anything is checked against the schema."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from edgetool.config.mistakes import Mistake
from edgetool.config.schema import SCHEMA_VERSION
from edgetool.config.tree import Document, Tree, overlay, tree_of
from edgetool.errors import ConfigError

_LARGEST = 2**20
_DEEPEST = 32
_SHARED = ("recipes", "targets")
_POSITION = re.compile(r"(?P<what>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)")


def read_tree(path: Path) -> tuple[Tree, list[Mistake]]:
    """The file over the files that it includes, in their order: later ones win, key by key.

    Raises:
        ConfigError: a file is missing, unreadable, no TOML, or of another schema version.
    """
    mistakes: list[Mistake] = []
    return _read(path, (), mistakes), mistakes


def _read(path: Path, including: tuple[Path, ...], mistakes: list[Mistake]) -> Tree:
    document = read_document(path)
    own = tree_of(document)
    _check_version(own)
    if including:
        mistakes.extend(_unshared(own))
    merged = Tree()
    for index, name in enumerate(_includes(own)):
        origin = own.origin(("include", index))
        refused = _refusal(name, path, including)
        if refused:
            mistakes.append(Mistake("invalid-include", origin, ("include", index), *refused))
            continue
        below = _read(path.parent / name, (*including, path.resolve()), mistakes)
        merged = overlay(merged, _only(below, _SHARED))
    return overlay(merged, own)


def read_document(path: Path) -> Document:
    """One TOML file. Raises ConfigError that points at the line and column where it is not TOML."""
    label = relative_label(path)
    try:
        if path.stat().st_size > _LARGEST:
            raise ConfigError("unreadable-targets-file", "is larger than 1 MiB: not a targets file", where=label)
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigError(
            "targets-file-not-found",
            "no such file",
            where=label,
            hint="write one with: edgetool init MODEL, or name one with --file",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            "unreadable-targets-file", f"is not UTF-8 text (byte {error.start})", where=label, hint="save it as UTF-8"
        ) from error
    except OSError as error:
        raise ConfigError(
            "unreadable-targets-file", f"cannot be read: {error.strerror}", where=label, hint="name a readable file"
        ) from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(label, text, str(error)) from error
    except ValueError as error:  # Python refuses to convert thousands of digits
        raise ConfigError(
            "invalid-toml", "holds a number with thousands of digits", where=label, hint="no setting needs that"
        ) from error
    except RecursionError as error:
        raise _too_deep(label) from error
    if _is_deeper(values, _DEEPEST):
        raise _too_deep(label)
    return Document(label, text, values)


def _is_deeper(value: object, levels: int) -> bool:
    """Whether tables and arrays nest deeper than that; looks no deeper itself."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return bool(inner) and (levels == 0 or any(_is_deeper(part, levels - 1) for part in inner))


def _too_deep(label: str) -> ConfigError:
    return ConfigError(
        "invalid-toml", f"tables and arrays nest more than {_DEEPEST} deep", where=label, hint="no setting needs that"
    )


def relative_label(path: Path) -> str:
    """The path as messages show it: relative where the file lies below the working directory."""
    full = Path(os.path.normpath(path.absolute()))
    here = Path.cwd()
    return str(full.relative_to(here)) if full.is_relative_to(here) else str(full)


def _syntax_error(label: str, text: str, message: str) -> ConfigError:
    match = _POSITION.fullmatch(message)
    what = match["what"] if match else message
    lines = text.splitlines() or [""]
    line = int(match["line"]) if match and match["line"] else len(lines)
    column = int(match["column"]) if match and match["column"] else len(lines[-1]) + 1
    shown = lines[min(line, len(lines)) - 1]
    return ConfigError(
        "invalid-toml",
        f"{what[:1].lower()}{what[1:]}\n  {shown}\n  {' ' * (column - 1)}^",
        where=f"{label}:{line}:{column}",
        hint="strings stand in quotes, tables in [brackets]",
    )


def _check_version(tree: Tree) -> None:
    """Another version means other keys: nothing else that could be said of the file would be worth reading."""
    version = tree.values.get("schema")
    where = str(tree.origin(("schema",)))
    if version is None:
        raise ConfigError(
            "unsupported-schema",
            "the file does not say which version of the format it is written in",
            where=tree.origin(()).label,
            hint=f"begin it with: schema = {SCHEMA_VERSION}",
        )
    if version != SCHEMA_VERSION or isinstance(version, bool):
        newer = isinstance(version, int) and version > SCHEMA_VERSION
        raise ConfigError(
            "unsupported-schema",
            f"schema {version!r} is not known here; this edgetool reads schema {SCHEMA_VERSION}",
            where=where,
            hint="install a newer edgetool" if newer else f"write: schema = {SCHEMA_VERSION}",
        )


def _includes(tree: Tree) -> Iterator[str]:
    """What is not a list of strings is left to the schema to complain about."""
    names = tree.values.get("include", [])
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        yield from names


def _refusal(name: str, path: Path, including: tuple[Path, ...]) -> tuple[str, str] | None:
    """Why a file cannot be included, and what to do; None when it can."""
    if Path(name).is_absolute():
        return f"{name!r} is an absolute path, which no other machine has", "write it relative to this file"
    target = (path.parent / name).resolve()
    if target in (*including, path.resolve()):
        return f"{name!r} includes itself, in the end", "break the circle"
    if not target.is_file():
        return f"no such file: {name!r}", "paths are relative to the file that includes"
    return None


def _unshared(tree: Tree) -> Iterator[Mistake]:
    for key in tree.values:
        if key not in ("schema", "include", *_SHARED):
            yield Mistake(
                "invalid-include",
                tree.origin((key,)),
                (key,),
                "an included file shares targets and recipes only",
                "move it to the file that includes this one",
            )


def _only(tree: Tree, keys: tuple[str, ...]) -> Tree:
    """Without what every file has for itself, such as `schema` and `include`."""
    return Tree(
        {key: value for key, value in tree.values.items() if key in keys},
        {path: origin for path, origin in tree.origins.items() if path and path[0] in keys},
    )
