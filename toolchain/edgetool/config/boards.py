"""Boards of the catalogue, which a target can extend: `extends = "@vendor/board"`."""

from __future__ import annotations

import tomllib
from pathlib import Path

from edgetool.config.tree import Document, Tree, tree_of

_FOLDER = Path(__file__).parents[1] / "catalog"


def board_names() -> tuple[str, ...]:
    """`@vendor/board` of all boards, sorted."""
    return tuple(sorted(f"@{path.stem}/{name}" for path in _FOLDER.glob("*.toml") for name in _read(path).values))


def find_board(name: str) -> Tree | None:
    """What `@vendor/board` says, as a table of a target; None where there is no such board."""
    vendor, _, board = name.removeprefix("@").partition("/")
    path = _FOLDER / f"{vendor}.toml"
    if not vendor.isidentifier() or not path.is_file():
        return None
    document = _read(path)
    if board not in document.values:
        return None
    return tree_of(document, kind="catalogue", label=name).below((board,))


def _read(path: Path) -> Document:
    text = path.read_text(encoding="utf-8")
    return Document(f"catalog/{path.name}", text, tomllib.loads(text))
