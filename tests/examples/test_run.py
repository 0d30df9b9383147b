"""The one table: what is in it, and that a failure is a row and not the end."""

from __future__ import annotations

import subprocess
import sys

import pytest

from examples import run
from examples.run import Row, table
from tests.examples.conftest import NAMES, ROOT

HELD = Row(
    "digits",
    "ort-int8",
    "held",
    ok=True,
    reference=0.994,
    metric=0.992,
    agreement=0.998,
    cosine=0.99951,
    size=150_000,
    speedup=1.234,
)
FAILED = Row("digits", "ort-float", "failed (3)", remarks=("the reason",))


def test_it_knows_the_examples_that_there_are() -> None:
    assert list(run.NAMES) == NAMES


def test_columns_line_up_and_what_is_not_known_is_a_dash() -> None:
    title, held, failed = table([HELD, FAILED]).splitlines()

    assert " ".join(held.split()) == "digits ort-int8 0.9940 0.9920 +0.0020 0.998 0.9995 0.14 MiB 1.23x held"
    assert " ".join(failed.split()) == "digits ort-float - - - - - - - failed (3)"
    for name in ("target", "drop", "cosine"):
        column = title.index(name)
        assert held[column - 2 : column] == failed[column - 2 : column] == "  "


def test_it_goes_on_after_a_failure_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = {"digits": FAILED, "magika": HELD}
    monkeypatch.setattr(run, "run", lambda name: iter([outcomes[name]]))

    assert run.main(["digits", "magika"]) == 1
    assert run.main(["magika"]) == 0
    printed = capsys.readouterr().out
    assert "digits ort-float: the reason" in printed
    assert printed.count("held") == 2


def test_an_unknown_name_is_refused_with_the_choices() -> None:
    command = [sys.executable, "-m", "examples.run", "digit"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert result.returncode == 2
    assert "there is no example digit; choose from digits, " in result.stderr


def test_an_example_that_cannot_be_prepared_fails_on_all_targets_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def offline(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(arguments, 1, stdout="", stderr="fetching x\nx 1.0: offline\n")

    monkeypatch.setattr(run, "_python", offline)
    rows = list(run.run("digits"))

    assert [(row.verdict, row.remarks, row.ok) for row in rows] == [("not prepared", ("x 1.0: offline",), False)] * 4
