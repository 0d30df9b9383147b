"""A build takes at most four times the model's size and 300 MiB, and models over 2 GiB pass through all of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "memory.py"


def _measure(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARK), "--folder", str(folder), *options]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["float", "fp16", "int8", "int8-dynamic"])
def test_memory_of_a_build(tmp_path: Path, recipe: str) -> None:
    done = _measure(tmp_path, "--size", "256MiB", "--recipe", recipe)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_model_over_2_gib(tmp_path: Path) -> None:
    done = _measure(tmp_path, "--size", "2200MiB", "--recipe", "fp16")
    assert "exit code 0" in done.stdout, done.stdout + done.stderr
