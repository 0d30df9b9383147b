"""What a person at a terminal sees: a live display while it works, and only lines that stay afterwards."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.markup import render

from edgetool.cli.app import app


def _on_a_terminal(arguments: list[str], *, cwd: Path, env: dict[str, str]) -> tuple[int, str]:
    """Exit code and everything that reached the terminal."""
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "edgetool", *arguments],
        cwd=cwd,
        env={**{name: value for name, value in os.environ.items() if name != "CI"}, "TERM": "xterm-256color", **env},
        stdin=child,
        stdout=child,
        stderr=child,
    )
    os.close(child)
    seen = b""
    while True:
        try:
            chunk = os.read(parent, 65536)
        except OSError:  # Linux's way to say that the other side is gone
            break
        if not chunk:
            break
        seen += chunk
    os.close(parent)
    return process.wait(timeout=60), seen.decode()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    from edgetool.testing.models import tiny_cnn

    tiny_cnn(tmp_path).path.rename(tmp_path / "model.onnx")
    (tmp_path / "targets.toml").write_text(
        'schema = 1\n[model]\nsource = "model.onnx"\n[targets.a]\nbackend = "onnxruntime"\nunverified = "allow"\n'
        '[targets.b]\nextends = "a"\n'
    )
    return tmp_path


def test_a_build_draws_a_bar_and_leaves_its_lines(project: Path, tmp_path: Path) -> None:
    code, seen = _on_a_terminal(["build", "-t", "a", "-t", "b", "-j", "2"], cwd=project, env={})
    assert code == 0, seen
    assert "\x1b[" in seen, "a terminal gets a live display"
    assert re.search(r"0:00:0\d", seen), "with the time that has passed"
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen)
    assert "a: validate:" in plain
    assert "built a" in plain
    assert "built b" in plain
    assert "Traceback" not in plain
    assert "\x1b[?25h" in seen, "the cursor is shown again"


def test_no_color_is_respected(project: Path) -> None:
    code, seen = _on_a_terminal(["build", "-t", "a"], cwd=project, env={"NO_COLOR": "1"})
    assert code == 0, seen
    assert not re.search(r"\x1b\[(3\d|9\d|38;)[0-9;]*m", seen), "no colours"


def test_quiet_shows_the_result_only(project: Path) -> None:
    code, seen = _on_a_terminal(["build", "-t", "a", "--quiet"], cwd=project, env={})
    assert code == 0
    assert seen.startswith("built a")


def test_paragraphs_of_the_help_flow(
    monkeypatch: pytest.MonkeyPatch, run_cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Where the source breaks a line says nothing to a terminal of another width."""
    monkeypatch.setenv("COLUMNS", "80")
    lines = [line.strip() for line in run_cli("validate", "--help").stdout.splitlines()]
    assert "compared with the golden outputs. With --on it runs on a device that ssh" in lines


def _texts(command: Any, name: str) -> Iterator[tuple[str, str]]:
    yield name, command.help or ""
    yield from ((f"{name}: {row.name}", getattr(row, "help", None) or "") for row in command.params)
    for word, below in getattr(command, "commands", {}).items():
        yield from _texts(below, f"{name} {word}")


def test_no_word_of_the_help_is_taken_for_markup() -> None:
    """`[targets.NAME]` in a help text would vanish at a terminal: rich takes it for a style."""
    lost = [where for where, text in _texts(typer.main.get_command(app), "edgetool") if render(text).plain != text]
    assert lost == []
