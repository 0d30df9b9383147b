"""What error pages and hints tell people to type exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from edgetool.cli.app import app
from edgetool.explain import explanations

ROOT = Path(__file__).parents[2]
SOURCES = [*(ROOT / "toolchain").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]
COMMAND = re.compile(r"(?:^|[`:;,] ?)edgetool ((?:[a-z]+ ?){1,2})((?:[^`;,:]*?(?:--[a-z-]+))*)")
"""A command in a text: at its start, or set off from the sentence before it."""
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # it is a group


def mistaken(text: str) -> Iterator[str]:
    """Commands and options in a text that the command line does not have."""
    for words, tail in COMMAND.findall(text):
        first, *rest = words.split()
        command = COMMANDS.get(first)
        if command is not None and getattr(command, "commands", None) and rest:
            command = command.commands.get(rest[0])
        if command is None:
            yield f"edgetool {words}".strip()
            continue
        known = {name for row in command.params for name in row.opts}
        yield from (f"edgetool {words}{option}" for option in re.findall(r"--[a-z-]+", tail) if option not in known)


@pytest.mark.parametrize("page", explanations().values(), ids=lambda page: page.code)
def test_error_pages(page) -> None:
    assert not [found for quoted in re.findall(r"`([^`]+)`", page.text) for found in mistaken(quoted)]


def hints() -> Iterator[tuple[str, str]]:
    """Every text that is passed as `hint` or `fix`, without what is filled in."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg in ("hint", "fix"):
                for part in ast.walk(node.value):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        yield str(path.relative_to(ROOT)), part.value


def test_hints() -> None:
    wrong = {(path, found) for path, text in hints() for found in mistaken(text)}
    assert not wrong
