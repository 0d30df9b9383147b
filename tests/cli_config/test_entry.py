"""What the command line itself does, before and after any command."""

from __future__ import annotations

import pytest
import typer

from edgetool import __version__, doctor
from edgetool.cli.app import app


def test_version(edgetool) -> None:
    done = edgetool("--version")
    assert (done.exit_code, done.out) == (0, f"edgetool {__version__}\n")


def test_a_bug_shows_its_traceback_and_asks_for_a_report(edgetool, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(targets_file: object, **settings: object) -> None:
        raise ZeroDivisionError("nobody thought of this")

    monkeypatch.setattr(doctor, "diagnose", broken)
    done = edgetool("doctor")
    assert done.exit_code == 1
    assert "Traceback" in done.err
    *_, error, hint = done.err.splitlines()
    assert error == (
        "error[unexpected-exception]: this is a bug in edgetool: ZeroDivisionError: nobody thought of this"
    )
    assert "please report it" in hint
    assert edgetool("doctor", "--json").result["code"] == "unexpected-exception"


def test_every_command_is_told_in_one_line_of_help(edgetool, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 80 columns nothing wraps and nothing is cut off; each says what it does and begins with a verb."""
    monkeypatch.setenv("COLUMNS", "80")
    for group in (app, *(row.typer_instance for row in app.registered_groups)):
        for command in typer.main.get_command(group).commands.values():  # type: ignore[attr-defined]  # it is a group
            first = (command.help or "").strip().split("\n\n")[0]
            assert first.endswith(".")
            assert first.count(". ") == 0
            assert len(first) <= 66, first
            assert first.split()[0][-1] != "s", f"imperative: {first}"
