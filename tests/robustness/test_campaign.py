"""Five hundred mutants, always the same ones: none of them ends in anything but a documented exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.robustness.kinds import KINDS, kind_of
from tests.robustness.words import COUNTS

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_five_hundred_mutants(tmp_path: Path) -> None:
    written = tmp_path / "summary.json"
    command = [sys.executable, "-m", "tests.robustness", "--count", "500", "--summary", str(written)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(written.read_text())
    assert summary["mutants"] == 500
    assert set(summary["kinds"]) == set(KINDS)


def test_every_kind_has_its_turn() -> None:
    assert {kind_of(index) for index in range(27)} == set(KINDS)


def test_random_choices_of_python_stay_as_they_are() -> None:
    """What `--seed N --index I` promises stands on this."""
    assert Random("1/targets/7").choices(COUNTS, k=3) == Random("1/targets/7").choices(COUNTS, k=3)
