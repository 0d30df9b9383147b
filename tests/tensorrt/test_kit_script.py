"""The kit's script where all is well: it builds, proves, keeps, and checks engines, with coreutils and with busybox."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgetool.bundle.verify import verify
from edgetool.testing.models import tiny_text
from tests.tensorrt.kit_bundle import FACTS, STAND_IN, KitDevice, error_code, write_kit_bundle
from tests.tensorrt.standin.device import create
from tests.tiny import write_tiny_project

PROJECT = """
schema = 1
[model]
name = "tiny"
source = "model.onnx"
[model.dims.batch]
min = 1
opt = 2
max = 4
[data]
evaluation = "eval"
[recipes.fp16]
passes = [{{ use = "simplify" }}, {{ use = "cast-fp16" }}]
[targets.board]
backend = "tensorrt"
recipe = "fp16"
[targets.board.builder]
kind = "kit"
[targets.board.facts]
arch = "{arch}"
sm = 86
tensorrt = "10.3.0"
[targets.board.tensorrt]
stand_in = "TensorRT-RTX and ONNX Runtime"
"""


@pytest.fixture
def nasty(kit_device: KitDevice, tmp_path: Path) -> KitDevice:
    """The bundle is read-only, and names hold what shells and trtexec read as their own."""
    folder = tmp_path / 'it\'s a $HOME; `x` "y" *,:=& ü'
    bundle = folder / "net.edgebundle"
    shutil.copytree(kit_device.bundle, bundle)
    for path in (bundle, *bundle.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    return replace(kit_device, bundle=bundle, output=folder / "-out put")


def test_it_builds_proves_and_records(nasty: KitDevice, any_shell: str) -> None:
    before = sorted((str(path), path.stat().st_mtime_ns) for path in nasty.bundle.rglob("*"))
    done = nasty.build()
    assert done.returncode == 0, done.stderr
    engine = nasty.output / "engine.plan"
    assert done.stdout == f"{engine}\n"
    assert engine.read_bytes()[:4] == b"vtrt"
    record = nasty.record()
    assert record["engine"] == {
        "file": "engine.plan",
        "sha256": hashlib.sha256(engine.read_bytes()).hexdigest(),
        "size": engine.stat().st_size,
    }
    assert record["bundle"]["content_digest"] == verify(nasty.bundle).content_digest
    assert record["device"] == {
        "arch": os.uname().machine,
        "sm": "86",
        "gpu": "NVIDIA Stand-In",
        "driver": "540.4.0",
        "tensorrt": "10.3.0",
    }
    assert record["stand_in"] == STAND_IN and "stand-in" in done.stderr
    assert record["golden"]["outputs"][0]["name"] == "y"
    assert "cosine 1.000" in record["golden"]["outputs"][0]["found"]
    assert 0 < record["latency_ms"]["min"] <= record["latency_ms"]["median"] <= record["latency_ms"]["p99"]
    timings = [name for name in nasty.files() if name.startswith("timing-")]
    assert nasty.files() == ["build-engine.log", "engine.json", "engine.plan", *timings]
    assert sorted((str(path), path.stat().st_mtime_ns) for path in nasty.bundle.rglob("*")) == before

    build, infer, measure = (call for call in nasty.stand_in.calls() if call[0] == "trtexec" and len(call) > 2)
    assert {"--stronglyTyped", "--skipInference", "--minShapes=x:1x3x8x8", "--maxShapes=x:4x3x8x8"} <= set(build)
    assert {"--shapes=x:2x3x8x8", "--loadInputs=x:input0.bin", "--exportOutput=outputs.json"} <= set(infer)
    assert {"--shapes=x:2x3x8x8", "--useCudaGraph", "--noDataTransfers"} <= set(measure)

    again = nasty.build()
    assert again.returncode == 0 and again.stdout == done.stdout
    assert nasty.builds() == 1, "an engine that fits is kept"
    checked = nasty.check()
    assert (checked.returncode, checked.stdout) == (0, done.stdout), checked.stderr


@pytest.mark.slow
def test_timings_are_reused(kit_device: KitDevice, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert kit_device.build("--cache", cache).returncode == 0
    (file,) = cache.iterdir()
    assert file.name == "timing-trt10.3.0-sm86-NVIDIA_Stand-In.cache"
    assert kit_device.build("--cache", cache, "--rebuild").returncode == 0
    assert kit_device.builds() == 2
    assert "Loaded" in (kit_device.output / "build-engine.log").read_text()


@pytest.mark.slow
def test_it_says_that_it_is_alive(kit_device: KitDevice) -> None:
    """Nothing for ten minutes has been taken for a crash."""
    sign = kit_device.bundle / "model" / "kit" / "trtexec.sh"
    sign.write_text(sign.read_text().replace("heartbeat=10", "heartbeat=1"))
    kit_device.stand_in.set_faults(slow=3.5)
    done = kit_device.run("--output", kit_device.output)
    assert error_code(done) == "bundle-damaged", "even the heartbeat is under the manifest"
    _record_again(kit_device)
    done = kit_device.build()
    assert done.returncode == 0, done.stderr
    signs = [line for line in done.stderr.splitlines() if "building: " in line]
    assert len(signs) >= 2
    assert "GraphReduction" in signs[0] and " s, " in signs[0]


def test_a_device_key_signs_and_proves(
    built_device: KitDevice, require_tool: Callable[[str], str], tmp_path: Path
) -> None:
    private, public, other = tmp_path / "my key.pem", tmp_path / "my key.pub", tmp_path / "other.pub"
    openssl = require_tool("openssl")
    for key, pub in ((private, public), (tmp_path / "other.pem", other)):
        subprocess.run([openssl, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key], check=True)
        subprocess.run([openssl, "ec", "-in", key, "-pubout", "-out", pub], check=True, capture_output=True)
    assert error_code(built_device.check("--verify-key", public)) == "signature-invalid"

    done = built_device.build("--sign", private, "--verify-key", other)
    assert (done.returncode, error_code(done)) == (2, "wrong-arguments"), "the keys are no pair"
    done = built_device.build("--sign", private, "--verify-key", public)
    assert done.returncode == 0, done.stderr
    assert built_device.builds() == 1, "an engine without a signature does not do"
    assert built_device.check("--verify-key", public).returncode == 0
    refused = built_device.check("--verify-key", other)
    assert (refused.returncode, error_code(refused)) == (7, "signature-invalid")

    record = built_device.output / "engine.json"
    text = record.read_text()
    record.write_text(text.replace("540.4.0", "540.4.1"))
    assert error_code(built_device.check("--verify-key", public)) == "signature-invalid"
    record.write_text(text)
    (built_device.output / "engine.json.sig").unlink()
    assert error_code(built_device.check("--verify-key", public)) == "signature-invalid"
    assert built_device.check().returncode == 0, "without a key nothing is asked of the signature"


def test_a_key_that_cannot_sign_is_found_before_the_build(built_device: KitDevice, tmp_path: Path) -> None:
    done = built_device.build("--sign", tmp_path / "missing.pem")
    assert (done.returncode, error_code(done)) == (5, "signing-failed")
    assert built_device.builds() == 0
    assert "missing.pem" in (built_device.output / "build-engine.log").read_text()
    assert built_device.check().returncode == 0, "the old engine is still there"


@pytest.mark.parametrize(
    "arguments",
    [
        (), ("--output",), ("--output", ""), ("--output=",), ("--check", "a", "--output", "b"), ("--outptu", "a"),
        ("--force", "--output", "a"), ("somewhere",), ("--sign", "k"), ("--output", "a", "--verify-key", "k"),
    ],
)  # fmt: skip
def test_wrong_arguments(kit_device: KitDevice, arguments: tuple[str, ...]) -> None:
    done = kit_device.run(*arguments)
    assert (done.returncode, error_code(done)) == (2, "wrong-arguments"), done.stderr
    assert "--help" in done.stderr


def test_help_names_every_option(kit_device: KitDevice) -> None:
    done = kit_device.run("--help")
    assert done.returncode == 0
    for option in ("--output", "--check", "--cache", "--digest", "--sign", "--verify-key", "--trtexec", "--rebuild"):
        assert option in done.stdout


def test_the_how_to_page_names_options_that_exist(kit_device: KitDevice) -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "build-for-a-jetson.md").read_text()
    commands = re.findall(r"^(?:ExecStart=\S*)?sh \S*build-engine\.sh (.*)$", page, re.M)
    assert len(commands) >= 4
    listed = kit_device.run("--help").stdout
    named = {option for command in commands for option in re.findall(r"--[a-z-]+", command)}
    assert named and not [option for option in named if f"  {option} " not in listed]


@pytest.mark.slow
@pytest.mark.parametrize("version", ["8.2.1", "8.5.2", "8.6.2", "10.7.0", "10.16.2", "11.1.0"])
def test_every_version_builds_and_runs(kit_device: KitDevice, tmp_path: Path, version: str) -> None:
    """With int64 inputs, which TensorRT before 10 takes as int32."""
    bundle = write_kit_bundle(tmp_path / "text", tiny_text(tmp_path), facts={**FACTS, "tensorrt": version})
    device = replace(kit_device, bundle=bundle, stand_in=create(tmp_path / version, tensorrt=version))
    done = device.build()
    assert done.returncode == 0, done.stderr
    assert device.record()["device"]["tensorrt"] == version


@pytest.mark.slow
def test_from_the_command_line_to_the_engine(
    kit_device: KitDevice, run_cli: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    write_tiny_project(project, PROJECT.format(arch=os.uname().machine), calibration=4, evaluation=4)
    built = run_cli("build", "--target", "board", cwd=project)
    assert built.returncode == 9, built.stderr
    assert "build-engine.sh" in built.stdout + built.stderr
    (bundle,) = (project / "dist").iterdir()
    device = replace(kit_device, bundle=bundle)
    done = device.build()
    assert done.returncode == 0, done.stderr
    assert device.record()["golden"]["made_by"] == "reference"
    assert device.record()["bundle"]["content_digest"] == verify(bundle).content_digest


def test_an_output_folder_in_the_bundle_is_refused(kit_device: KitDevice) -> None:
    done = kit_device.run("--output", kit_device.bundle / "engine")
    assert (done.returncode, error_code(done)) == (2, "wrong-arguments")
    assert not (kit_device.bundle / "engine").exists()


def test_the_scripts_are_clean(kit_device: KitDevice, require_tool: Callable[[str], str]) -> None:
    done = subprocess.run(
        [require_tool("shellcheck"), "-x", "-s", "sh", kit_device.script.name],
        cwd=kit_device.script.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def _record_again(device: KitDevice) -> None:
    """Make the manifest fit a bundle that a test changed, as somebody would who can write both."""
    path = device.bundle / "manifest.json"
    manifest = json.loads(path.read_text())
    for row in manifest["files"]:
        data = (device.bundle / row["path"]).read_bytes()
        row.update(size=len(data), sha256=hashlib.sha256(data).hexdigest())
    path.write_text(json.dumps(manifest, indent=2) + "\n")
    (device.bundle / "reports" / "measurements.json").unlink()
