"""What the command line costs before it does anything, against typer alone."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.timing import Command, report, take_turns

_BARE = '''\
import typer

app = typer.Typer()


@app.command()
def one(name: str = "x") -> None:
    """One."""


@app.command()
def two(name: str = "x") -> None:
    """Two."""


app()
'''
_LIMIT = 1.5


def main() -> None:
    """Time `edgetool --help` and `edgetool plugins` against the help of a typer app with two commands."""
    print("startup: against `--help` of a bare typer app with two commands")
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.py"
        bare.write_text(_BARE)
        edgetool = (sys.executable, "-m", "edgetool")
        commands = (
            Command("typer --help", (sys.executable, str(bare), "--help")),
            Command("edgetool --help", (*edgetool, "--help")),
            Command("edgetool plugins", (*edgetool, "plugins")),
        )
        runs = take_turns(commands, rounds=15, log=Path(folder) / "log")
        report(runs, against="typer --help", limits={"edgetool --help": _LIMIT, "edgetool plugins": _LIMIT})
