"""What only looks does not run the code that a targets file names, nor the interpreter of a target not asked for."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tiny import write_tiny_project

Cli = Callable[..., subprocess.CompletedProcess[str]]

TARGETS = """\
schema = 1
[model]
name = "tiny"
version = "1.0.0"
source = "spy:network"
[data]
calibration = "spy:samples"
evaluation = "spy:samples"
metric = "spy:metric"
[targets.ort]
backend = "onnxruntime"
[targets.other]
backend = "onnxruntime"
[targets.other.builder]
python = "./interpreter"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Everything in it that can be run leaves a mark."""
    write_tiny_project(tmp_path, TARGETS, calibration=1, evaluation=1)
    (tmp_path / "spy.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    (tmp_path / "interpreter").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (tmp_path / "interpreter").chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ("build", "--dry-run", "-t", "ort"),
        ("targets",),
        pytest.param(("targets", "show", "other"), marks=pytest.mark.slow),
        pytest.param(("inspect", "model.onnx"), marks=pytest.mark.slow),
        pytest.param(("plugins",), marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_looking_runs_nothing(project: Path, arguments: tuple[str, ...], run_cli: Cli) -> None:
    done = run_cli(*arguments, cwd=project)
    assert done.returncode in (0, 2), done.stderr
    assert not (project / "ran").exists()


@pytest.mark.slow
def test_building_does(project: Path, run_cli: Cli) -> None:
    """The test above would see it."""
    run_cli("build", "-t", "ort", cwd=project)
    assert (project / "ran").exists()
