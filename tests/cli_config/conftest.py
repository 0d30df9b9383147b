from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgetool.cli.entry import main


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    exit_code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def result(self) -> dict[str, Any]:
        return self.events[-1]


Run = Callable[..., Done]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGETOOL_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def edgetool(project: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs the command line as the entry point does, in this process."""

    def run(*arguments: str) -> Done:
        capfd.readouterr()
        try:
            main(list(arguments))
            code: object = 0
        except SystemExit as end:
            code = end.code
        out, err = capfd.readouterr()
        return Done(code if isinstance(code, int) else 0 if code is None else 1, out, err)

    return run


@pytest.fixture
def targets_file(project: Path) -> Path:
    path = project / "targets.toml"
    path.write_text(
        textwrap.dedent(
            """\
            schema = 1
            [recipes.int8]
            passes = [{ use = "simplify" }, { use = "quantize-static" }]
            [targets.board]
            description = "the board"
            extends = "@nvidia/jetson-nano"
            backend = "nowhere"
            recipe = "int8"
            [targets.board.budget]
            size = "20MiB"
            [targets.ci]
            backend = "onnxruntime"
            stands_in_for = ["board"]
            [targets.ci.onnxruntime]
            spinning = false
            """
        )
    )
    return path
