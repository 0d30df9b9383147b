"""Five hundred mutants, always the same ones: none of them ends in anything but a documented exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.robustness.bundles import _sealed
from tests.robustness.kinds import KINDS, kind_of
from tests.robustness.trial import DOCUMENTED
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
    assert summary["open_defects"] == []
    assert summary["mutants"] == 500
    assert set(summary["kinds"]) == set(KINDS)


def test_the_long_run_left_no_defect_open() -> None:
    summary = json.loads((Path(__file__).parent / "summary.json").read_text())
    kinds = summary["kinds"]
    assert summary["open_defects"] == []
    assert summary["mutants"] == sum(kind["mutants"] for kind in kinds.values()) >= 20_000
    assert set(kinds) == set(KINDS)
    assert min(kind["mutants"] for kind in kinds.values()) >= 300
    for kind in kinds.values():
        assert sum(kind["outcomes"].values()) == kind["mutants"]
        assert {int(outcome.split()[1]) for outcome in kind["outcomes"]} <= DOCUMENTED


def test_every_kind_has_its_turn() -> None:
    assert {kind_of(index) for index in range(27)} == set(KINDS)


def test_a_forger_does_not_read_what_never_ends(tmp_path: Path) -> None:
    listed = {"files": [{"path": "/dev/zero"}, {"path": "sound.bin"}]}
    (tmp_path / "sound.bin").write_bytes(b"abc")
    assert [row["size"] for row in _sealed(listed, tmp_path)["files"]] == [0, 3]


def test_random_choices_of_python_stay_as_they_are() -> None:
    """What `--seed N --index I` promises stands on this."""
    assert Random("1/targets/7").choices(COUNTS, k=3) == Random("1/targets/7").choices(COUNTS, k=3)
