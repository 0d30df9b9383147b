"""`edgetool build` and `validate --on`, as users run them, with a device that a real ssh server plays.

The device builds with TensorRT-RTX and computes with ONNX Runtime from what was copied to it: everything between here
and there is real, and the verdict is always that of a stand-in.
"""

from __future__ import annotations

import json
import platform
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tensorrt.ssh_device import ALIAS, SshDevice, wait_until
from tests.tensorrt.standin.device import StandIn
from tests.tiny import write_tiny_project

pytest.importorskip("tensorrt_rtx")

Cli = Callable[..., subprocess.CompletedProcess[str]]

TARGETS = f"""\
schema = 1
[model]
name = "net"
version = "1.0.0"
source = "model.onnx"
[model.dims.batch]
max = 4
[data]
calibration = "calib"
evaluation = "eval"
[recipes.fp16]
passes = [{{ use = "simplify" }}, {{ use = "cast-fp16" }}]

[targets.jetson]
extends = "@nvidia/jetson-orin-nano-8gb"
recipe = "fp16"
[targets.jetson.builder]
host = "{ALIAS}"

[targets.jetson-standin]
backend = "tensorrt"
recipe = "fp16"
[targets.jetson-standin.facts]
arch = "{platform.machine()}"
sm = 86
tensorrt = "10.3"
max_opset = 20
[targets.jetson-standin.builder]
host = "{ALIAS}"
[targets.jetson-standin.tensorrt]
stand_in = "TensorRT-RTX and ONNX Runtime"
[targets.jetson-standin.budget]
min_cosine = 0.999

[targets.auto]
extends = "jetson-standin"
recipe = "fp16"

[targets.kit]
backend = "tensorrt"
recipe = "fp16"
[targets.kit.facts]
arch = "{platform.machine()}"
sm = 86
tensorrt = "10.3"
max_opset = 20
[targets.kit.builder]
kind = "kit"
[targets.kit.tensorrt]
stand_in = "TensorRT-RTX and ONNX Runtime"
"""

BUNDLE = "dist/net-1.0.0-{}.edgebundle"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("device_cli")
    write_tiny_project(folder, TARGETS, calibration=2, evaluation=3)
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import shutil

    folder = tmp_path / "project"
    shutil.copytree(template, folder)
    monkeypatch.setenv("EDGETOOL_CACHE_DIR", str(tmp_path / "cache"))
    return folder


def _validation(project: Path, target: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project / BUNDLE.format(target) / "reports/validation.json").read_text())
    return found


@pytest.mark.usefixtures("standin")
def test_the_device_builds_runs_and_is_never_taken_for_the_real_one(project: Path, run_cli: Cli) -> None:
    done = run_cli("build", "--target", "jetson-standin", "--latency-time", "0.1s", cwd=project)
    assert done.returncode == 9, done.stderr
    assert "built by ssh: the target names the host" in done.stdout
    assert "stand-in" in done.stdout
    report = _validation(project, "jetson-standin")
    assert report["comparison"]["status"] == "passed", report
    assert report["stand_in"] == "TensorRT-RTX and ONNX Runtime"
    assert {row["status"] for row in report["verdicts"]} == {"unverified"}, "nothing is proven on a stand-in"
    measurements = json.loads((project / BUNDLE.format("jetson-standin") / "reports/measurements.json").read_text())
    assert measurements["latency"]["engine"]["p50_s"] > 0
    assert measurements["latency"]["reference"] is None, "the host's own speed is no yardstick for a device"
    manifest = json.loads((project / BUNDLE.format("jetson-standin") / "manifest.json").read_text())
    assert manifest["backend"]["facts"]["builder"] == "ssh"
    assert manifest["backend"]["facts"]["device"]["tensorrt"].startswith("10.3")
    assert "sm=86" in manifest["target"]["compatibility"]


@pytest.mark.slow
@pytest.mark.usefixtures("standin")
def test_a_second_build_is_a_cache_hit_until_the_device_changes(project: Path, run_cli: Cli, standin: StandIn) -> None:
    assert run_cli("build", "--target", "jetson-standin", cwd=project).returncode == 9
    builds = _count_builds(standin)
    assert run_cli("build", "--target", "jetson-standin", cwd=project).returncode == 9
    assert _count_builds(standin) == builds, "the engine was not built again"
    standin.set_faults(banner="v100301")
    done = run_cli("build", "--target", "jetson-standin", cwd=project)
    assert _count_builds(standin) == builds + 1, done.stderr


def _count_builds(standin: StandIn) -> int:
    return sum(any("--saveEngine" in word for word in call) for call in standin.calls())


@pytest.mark.usefixtures("standin")
def test_a_device_that_is_not_as_described_is_refused_before_anything_is_copied(
    project: Path, run_cli: Cli, ssh_device: SshDevice
) -> None:
    done = run_cli("build", "--target", "jetson", cwd=project)
    assert done.returncode == 6, done.stderr
    assert "87" in done.stderr and "86" in done.stderr
    assert "hint" in done.stderr
    assert not any("blobs" in name for name in ssh_device.files())
    assert not (project / "dist").exists()


@pytest.mark.parametrize(
    ("faults", "exit_code", "said"),
    [
        pytest.param({"perturb": 0.5}, 4, "cosine", marks=pytest.mark.slow, id="perturb"),
        pytest.param({"nan": True}, 4, "NaN", marks=pytest.mark.slow, id="nan"),
        pytest.param({"truncate_outputs": True}, 4, "outputs", marks=pytest.mark.slow, id="truncate_outputs"),
        pytest.param({"drop_output": True}, 4, "y", marks=pytest.mark.slow, id="drop_output"),
        pytest.param({"truncate_engine": True}, 7, "truncated", id="truncate_engine"),
        pytest.param({"engine_tag": "abcd"}, 3, "engine", marks=pytest.mark.slow, id="engine_tag"),
        pytest.param({"out_of_memory": True}, 10, "memory", marks=pytest.mark.slow, id="out_of_memory"),
        pytest.param({"die": True}, 5, "trtexec", marks=pytest.mark.slow, id="die"),
        pytest.param({"disk_full": True}, 10, "free space", marks=pytest.mark.slow, id="disk_full"),
    ],
)
def test_every_fault_of_the_device_ends_the_build(
    faults: dict[str, Any], exit_code: int, said: str, project: Path, run_cli: Cli, standin: StandIn
) -> None:
    standin.set_faults(**faults)
    done = run_cli("build", "--target", "jetson-standin", "--latency-time", "0.1s", cwd=project)
    assert done.returncode == exit_code, done.stdout + done.stderr
    assert said.lower() in (done.stdout + done.stderr).lower()
    assert "Traceback" not in done.stderr


@pytest.fixture
def unreachable(ssh_device: SshDevice) -> Iterator[SshDevice]:
    ssh_device.stop()
    yield ssh_device


@pytest.mark.usefixtures("unreachable")
def test_an_unreachable_device(project: Path, run_cli: Cli) -> None:
    done = run_cli("build", "--target", "jetson-standin", cwd=project)
    assert done.returncode == 6
    assert "host-unreachable" in done.stderr


@pytest.mark.slow
def test_ctrl_c_ends_what_the_device_does(project: Path, ssh_device: SshDevice, standin: StandIn) -> None:
    import os
    import signal
    import sys

    standin.set_faults(slow=60)
    command = [sys.executable, "-m", "edgetool", "build", "--target", "jetson-standin"]
    process = subprocess.Popen(command, cwd=project, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert wait_until(lambda: _count_builds(standin) > 0, seconds=60)
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGINT)
    _, talk = process.communicate(timeout=60)
    assert process.returncode == 130, talk
    assert ssh_device.is_quiet(within=40), ssh_device.running()
    assert not (project / "dist").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("standin")
def test_a_kit_is_proven_later_on_the_device(project: Path, run_cli: Cli, standin: StandIn) -> None:
    built = run_cli("build", "--target", "kit", cwd=project)
    assert built.returncode == 9, built.stderr
    assert not standin.calls(), "the kit was built without the device"
    bundle = BUNDLE.format("kit")
    proven = run_cli("validate", bundle, "--on", ALIAS, cwd=project)
    assert proven.returncode == 9, "it agrees, on a stand-in: " + proven.stdout + proven.stderr
    assert "golden outputs agree" in proven.stdout
    assert "p50" in proven.stdout
    standin.set_faults(perturb=0.5)
    refused = run_cli("validate", bundle, "--on", ALIAS, cwd=project)
    assert refused.returncode == 4, refused.stdout + refused.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("standin")
def test_the_verdict_of_validate_names_the_stand_in(project: Path, run_cli: Cli) -> None:
    run_cli("build", "--target", "kit", cwd=project)
    done = run_cli("validate", BUNDLE.format("kit"), "--on", ALIAS, "--json", cwd=project)
    (result,) = (row for row in map(json.loads, done.stdout.splitlines()) if "passed" in row)
    assert result["passed"] is True
    assert result["stand_in"] == "TensorRT-RTX and ONNX Runtime"


def test_a_backend_without_hosts_says_so(project: Path, run_cli: Cli) -> None:
    (project / "targets.toml").write_text(TARGETS + '\n[targets.cpu]\nbackend = "onnxruntime"\n', encoding="utf-8")
    assert run_cli("build", "--target", "cpu", cwd=project).returncode == 0
    done = run_cli("validate", BUNDLE.format("cpu"), "--on", "nobody", cwd=project)
    assert done.returncode == 2
    assert "backend-without-hosts" in done.stderr
