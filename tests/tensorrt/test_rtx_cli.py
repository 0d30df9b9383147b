"""`edgetool build` and `check` for a desktop GPU, as users run them, on a machine without one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgetool_tensorrt.plan_file import read_header
from tests.tiny import write_tiny_project

pytest.importorskip("tensorrt_rtx")

Run = Callable[..., subprocess.CompletedProcess[str]]

TARGETS = """\
schema = 1
[model]
name = "net"
version = "1.0.0"
source = "model.onnx"
[model.dims.batch]
min = 1
opt = 2
max = 4
[data]
calibration = "calib"
evaluation = "eval"
[recipes.fp16]
passes = [{ use = "simplify" }, { use = "cast-fp16" }]
[recipes.int8]
passes = [{ use = "simplify" }, { use = "quantize-static", min_channels = 1 }]
[targets.ada]
extends = "@nvidia/rtx-ada"
recipe = "fp16"
[targets.ada.tensorrt]
capabilities = [86, 89]
[targets.turing]
extends = "@nvidia/rtx-turing"
recipe = "int8"
[targets.orin]
extends = "@nvidia/jetson-agx-orin"
recipe = "fp16"
builder = { kind = "rtx" }
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_tiny_project(tmp_path, TARGETS, calibration=2, evaluation=2)
    return tmp_path


def test_builds_unverified_and_the_second_time_from_the_cache(project: Path, run_cli: Run) -> None:
    env = {"EDGETOOL_CACHE_DIR": str(project / "cache"), "PATH": "/usr/bin:/bin"}
    first = run_cli("build", "--target", "ada", cwd=project, env=env)
    assert first.returncode == 9, first.stderr
    assert "unverified: built, but not run: no RTX GPU here" in first.stdout
    assert "edgetool validate" in first.stdout
    assert "cuda" not in (first.stdout + first.stderr).lower()
    (plan,) = project.rglob("dist/**/engine.plan")
    assert read_header(plan).product == "tensorrt-rtx"
    manifest = json.loads((plan.parents[1] / "manifest.json").read_text())
    assert manifest["runtime"]["facts"]["capabilities"] == [86, 89]
    built = plan.read_bytes()

    second = run_cli("build", "--target", "ada", cwd=project, env=env)
    assert second.returncode == 9
    assert "ada: build: cached" in second.stderr
    assert plan.read_bytes() == built


def test_int8_on_float32_is_refused_for_turing_before_it_is_built(project: Path, run_cli: Run) -> None:
    done = run_cli("build", "--target", "turing", cwd=project)
    assert done.returncode == 3
    assert "head" in done.stderr and "cast-fp16" in done.stderr


def test_a_board_is_not_served(project: Path, run_cli: Run) -> None:
    done = run_cli("build", "--target", "orin", cwd=project)
    assert done.returncode == 5
    assert "TensorRT-RTX does not build for compute capability 87 (Jetson Orin)" in done.stderr
    assert 'kind = "ssh"' in done.stderr
