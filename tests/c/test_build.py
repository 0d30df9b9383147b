"""From targets.toml to a bundle that a microcontroller tests itself with."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import write_tiny_project

TARGETS = """
schema = 1
[model]
name = "cnn"
version = "1.0.0"
source = "model.onnx"
[model.dims.batch]
min = 1
max = 4
[data]
calibration = "calib"
evaluation = "eval"
[recipes.int8]
passes = [{ use = "quantize-static" }]
[targets.mcu]
backend = "c"
recipe = "int8"
[targets.mcu.budget]
min_cosine = 0.98
flash = "16KiB"
ram = "16KiB"
"""


@pytest.fixture
def project(tmp_path: Path, m4: object) -> Path:
    write_tiny_project(tmp_path, TARGETS, calibration=16, evaluation=3)
    return tmp_path


def manifest(project: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project / "dist/cnn-1.0.0-mcu.edgebundle/manifest.json").read_text())
    return found


def test_a_bundle_is_proven_on_the_emulated_board(project: Path, run_cli: Callable[..., Any]) -> None:
    done = run_cli("build", "--target", "mcu", cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "flash" in done.stdout
    assert "p50" not in done.stdout
    found = manifest(project)
    assert {row["name"]: row["status"] for row in found["verdicts"]} == {
        "min_cosine": "held",
        "flash": "held",
        "ram": "held",
    }
    assert [row["name"] for row in found["lowerings"]] == ["integer-products", "integer-results", "shared-arena"]
    checked = run_cli("validate", project / "dist/cnn-1.0.0-mcu.edgebundle", cwd=project)
    assert checked.returncode == 0
    assert "agree on mps2-an386, emulated by QEMU" in checked.stdout
    timed = run_cli("bench", project / "dist/cnn-1.0.0-mcu.edgebundle", cwd=project)
    assert timed.returncode == 9
    assert "time-emulated" in timed.stderr


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["flash", "ram"])
def test_a_budget_that_is_missed_fails_the_build(limit: str, project: Path, run_cli: Callable[..., Any]) -> None:
    done = run_cli("build", "--target", "mcu", "--set", f"targets.mcu.budget.{limit}=1KiB", cwd=project)
    assert done.returncode == 4
    assert f"missed: {limit} 1.0 KiB" in done.stdout


@pytest.mark.slow
def test_times_of_an_emulator_prove_no_latency(project: Path, run_cli: Callable[..., Any]) -> None:
    done = run_cli("build", "--target", "mcu", "--set", "targets.mcu.budget.latency_p50=1h", cwd=project)
    assert done.returncode == 9
    assert "whose time is not the device's" in done.stdout


@pytest.mark.slow
def test_without_the_emulator_it_is_built_and_unverified(
    project: Path, run_cli: Callable[..., Any], tmp_path: Path
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("arm-none-eabi-gcc", "arm-none-eabi-size"):
        (programs / name).symlink_to(str(shutil.which(name)))
    cache = {"EDGETOOL_CACHE_DIR": str(tmp_path / "cache")}
    done = run_cli("build", "--target", "mcu", cwd=project, env={**os.environ, "PATH": str(programs), **cache})
    assert done.returncode == 9, done.stdout + done.stderr
    assert "apt-get install qemu-system-arm" in done.stdout
    statuses = {row["name"]: row["status"] for row in manifest(project)["verdicts"]}
    assert statuses == {"min_cosine": "unverified", "flash": "held", "ram": "unverified"}


@pytest.mark.slow
def test_the_host_stands_in_and_proves_nothing(project: Path, run_cli: Callable[..., Any]) -> None:
    done = run_cli("build", "--target", "mcu", "--set", "targets.mcu.c.board=host", cwd=project)
    assert done.returncode == 9
    assert "ran on this computer's processor, a stand-in" in done.stdout
