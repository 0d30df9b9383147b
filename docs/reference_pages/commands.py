"""docs/reference/commands.md: every command, argument and option, from the command line itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer

from edgetool.cli.app import app
from reference_pages import NOTICE
from reference_pages.tables import cell

_INTRO = """\
Results go to stdout, talk and errors to stderr. `--json` prints [events](events.md) instead, one a line, the result
last. Every command ends with one of [these exit codes](errors.md). `NO_COLOR` turns colours off.

`edgetool --install-completion` installs completion for bash, zsh, fish or PowerShell; `edgetool --show-completion`
prints it instead. `edgetool --version` prints the version.
"""


def page() -> str:
    """One section a command, in the order of `edgetool --help`."""
    lines = ["# Commands", "", NOTICE, "", _INTRO]
    for name, command in _commands(typer.main.get_command(app), ()):
        lines += _section(name, command)
    return "\n".join(lines)


def _commands(group: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if getattr(command, "commands", None):
            yield from _commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def _section(name: str, command: Any) -> Iterator[str]:
    arguments = [row for row in command.params if row.param_type_name == "argument"]
    usage = "".join(f" {_argument(row)}" for row in arguments)
    yield from [f"## `edgetool {name}{usage}`", ""]
    for paragraph in re.split(r"\n\s*\n", (command.help or "").strip()):
        yield from [" ".join(paragraph.split()), ""]
    yield from ["| | default | meaning |", "|---|---|---|"]
    for row in [*arguments, *(other for other in command.params if other not in arguments)]:
        shown = row.metavar or row.name.upper() if row in arguments else _option(row)
        yield f"| `{shown}` | {_default(row)} | {cell(row.help or '')} |"
    yield ""


def _argument(row: Any) -> str:
    name = (row.metavar or row.name.upper()) + ("..." if row.nargs != 1 else "")
    return name if row.required else f"[{name}]"


def _option(row: Any) -> str:
    names = ", ".join(sorted(row.opts, key=lambda name: name.startswith("--")))
    return names if row.is_flag else f"{names} {row.metavar or 'VALUE'}"


def _default(row: Any) -> str:
    if row.required:
        return "**required**"
    return "" if row.default in (None, False, ()) else f"`{row.default}`"
