"""What holds here and not elsewhere is found here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgetool.bundle.read import read_bundle
from edgetool.cli.emulated import emulated, emulation_error, wish_of
from edgetool.cli.output import Output
from edgetool.host import instruction_sets, read_host
from edgetool.report.collect import report_of

Run = Callable[..., subprocess.CompletedProcess[str]]

needs_vnni = pytest.mark.skipif(
    not read_host().vnni, reason="without VNNI the golden outputs of 8-bit weights are saturated themselves"
)
needs_bfloat16 = pytest.mark.skipif(
    not {"avx512_bf16", "amx_bf16"} & {*instruction_sets()}, reason="this processor has no bfloat16 itself"
)


def checks(done: subprocess.CompletedProcess[str]) -> list[dict[str, dict[str, Any]]]:
    """Of each report: id to check."""
    return [{check["id"]: check for check in row["checks"]} for row in json.loads(done.stdout)["reports"]]


@pytest.mark.slow
@needs_vnni
def test_eight_bit_weights_saturate_without_vnni_and_seven_do_not(bright: Path, run_cli: Run) -> None:
    bundles = [bright / f"bright-1.0.0-ov-{bits}.edgebundle" for bits in (7, 8)]
    done = run_cli("validate", *bundles, "--isa-sweep", "-O", "json")
    assert done.returncode == 4, done.stderr
    seven, eight = checks(done)
    assert {seven[f"isa/{level}"]["outcome"] for level in ("sse4", "avx2")} == {"passed"}
    assert (eight["self-test"]["outcome"], eight["isa/avx2"]["outcome"]) == ("passed", "failed")
    assert "weight_bits = 7" in eight["isa/avx2"]["fix"]
    assert "ONEDNN_MAX_CPU_ISA=AVX2" in eight["isa/avx2"]["message"]


@pytest.mark.slow
@needs_vnni
def test_onnx_runtime_on_an_emulated_processor(bright: Path, run_cli: Run, require_tool: Callable[[str], str]) -> None:
    require_tool("qemu-x86_64")
    bundle = bright / "bright-1.0.0-ort-8.edgebundle"
    done = run_cli("validate", bundle, "--emulate", "haswell,denverton,skylake-server")
    assert done.returncode == 4, done.stderr
    rows = {line.split()[1]: line.split()[0] for line in done.stdout.splitlines() if " emulation/" in line}
    # Its kernels for SSE widen the products before they add them.
    assert rows["emulation/haswell"] == "failed"
    assert rows["emulation/denverton"] == "passed"
    assert rows["emulation/skylake-server"] == "not-run"
    assert "error[emulation-failed]" in done.stderr


@pytest.mark.slow
@needs_bfloat16
def test_bfloat16_does_not_travel(differences: Path, run_cli: Run, require_tool: Callable[[str], str]) -> None:
    require_tool("qemu-x86_64")
    bundles = [differences / f"differences-1.0.0-{name}.edgebundle" for name in ("bf16", "f32")]
    done = run_cli("validate", *bundles, "--emulate", "haswell", "-O", "json")
    assert done.returncode == 4, done.stderr
    bfloat16, float32 = checks(done)
    assert (bfloat16["self-test"]["outcome"], bfloat16["emulation/haswell"]["outcome"]) == ("passed", "failed")
    assert "told to compute in bfloat16 and computes in float32" in bfloat16["emulation/haswell"]["message"]
    assert 'inference_precision = "f32"' in bfloat16["emulation/haswell"]["fix"]
    assert float32["emulation/haswell"]["outcome"] == "passed"


@pytest.mark.slow
def test_what_takes_too_long_is_unverified(bright: Path) -> None:
    bundle = bright / "bright-1.0.0-ov-7.edgebundle"
    wish = wish_of(True, None)
    report = emulated(report_of(read_bundle(bundle)), bundle, wish, Output(quiet=True), seconds=0.05)
    found = {check.id: check.outcome for check in report.checks}
    assert found["isa/sse4"] == "unverified"
    error = emulation_error(report)
    assert error is not None
    assert (error.code, error.exit_code) == ("emulation-unverified", 9)


@pytest.mark.slow
def test_without_emulators(bright: Path, run_cli: Run, tmp_path: Path) -> None:
    """What cannot be shown is said with what to install, and does not fail what is proven."""
    bundle = bright / "bright-1.0.0-ort-8.edgebundle"
    done = run_cli("validate", bundle, "--emulate", "denverton,cortex-a53", env={"PATH": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert "not-run  emulation/denverton   qemu-x86_64 is not installed" in done.stdout
    assert "emulation/cortex-a53: apt-get install qemu-user" in done.stdout


@pytest.mark.slow
def test_an_emulator_that_breaks_proves_nothing(bright: Path, run_cli: Run, tmp_path: Path) -> None:
    (tmp_path / "qemu-x86_64").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "qemu-x86_64").chmod(0o755)
    arguments = ("validate", bright / "bright-1.0.0-ort-8.edgebundle", "--emulate", "denverton")
    done = run_cli(*arguments, env={"PATH": str(tmp_path)})
    assert done.returncode == 9, done.stderr
    assert "error[emulation-unverified]" in done.stderr
    assert "unverified  emulation/denverton" in done.stdout
    done = run_cli(*arguments, "--allow-unverified", env={"PATH": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert "unverified  emulation/denverton" in done.stdout


@pytest.mark.slow
@pytest.mark.network
def test_an_arm_core(bright: Path, run_cli: Run, require_tool: Callable[[str], str], tmp_path: Path) -> None:
    """The library is fetched by the command that the report names, and never by the report itself."""
    for name in ("qemu-aarch64", "aarch64-linux-gnu-gcc"):
        require_tool(name)
    bundle = bright / "bright-1.0.0-ort-8.edgebundle"
    env = {"EDGETOOL_CACHE_DIR": str(tmp_path / "cache")}
    arguments = ("validate", bundle, "--emulate", "cortex-a53,cortex-a76", "-O", "json")
    (before,) = checks(run_cli(*arguments, env=env))
    assert before["emulation/cortex-a53"]["outcome"] == "not-run"
    program, *words = before["emulation/cortex-a53"]["fix"].removeprefix("fetch it: ").split()
    assert program == "python"
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    done = run_cli(*arguments, env=env)
    assert done.returncode == 0, done.stderr
    (after,) = checks(done)
    assert {after[f"emulation/{name}"]["outcome"] for name in ("cortex-a53", "cortex-a76")} == {"passed"}


def test_mistakes(run_cli: Run, tmp_path: Path) -> None:
    (tmp_path / "targets.toml").write_text('schema = 1\n[model]\nname = "net"\nversion = "1.0.0"\nsource = "net.onnx"\n'
                                           '[targets.ci]\nbackend = "onnxruntime"\n')  # fmt: skip
    done = run_cli("validate", tmp_path / "targets.toml", "--emulate", "cii=denverton")
    assert (done.returncode, "there is no target 'cii'" in done.stderr) == (2, True)
    done = run_cli("validate", tmp_path, "--emulate", "pentium")
    assert (done.returncode, "error[unknown-processor]" in done.stderr) == (2, True)
    done = run_cli("validate", tmp_path, "--isa-sweep", "--on", "board")
    assert (done.returncode, "error[conflicting-options]" in done.stderr) == (2, True)
    done = run_cli("validate", tmp_path / "missing", "--isa-sweep")
    assert (done.returncode, "error[bundle-not-found]" in done.stderr) == (2, True)
