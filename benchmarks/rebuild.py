"""What a build costs when nothing has changed, against `edgetool --help`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.project import CHANNELS, SIZE, write_project
from benchmarks.timing import Command, report, take_turns

_LIMIT = 2.5


def main() -> None:
    """Build a tiny network and one of 1 MB once, then time the same builds again."""
    print("rebuild: `edgetool build` of int8 with nothing changed, against `edgetool --help`")
    edgetool = (sys.executable, "-m", "edgetool")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        commands = [Command("edgetool --help", (*edgetool, "--help"))]
        for title, channels, size in (("tiny", (3, 8), 8), ("1 MB", CHANNELS, SIZE)):
            (folder / title).mkdir()
            targets = write_project(folder / title, channels=channels, size=size)
            build = ("build", "--file", str(targets), "--target", "int8", "--output", str(folder / title / "dist"))
            env = {"EDGETOOL_CACHE_DIR": str(folder / "cache")}
            commands.append(Command(f"rebuild, {title}", (*edgetool, *build), env))
        runs = take_turns(commands, rounds=15, log=folder / "log")
        report(runs, against="edgetool --help", limits={command.name: _LIMIT for command in commands[1:]})
