"""`edgetool build` from source to bundle: what it writes, what it reuses, and that equal inputs give equal bytes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

Cli = Callable[..., subprocess.CompletedProcess[str]]
MEASUREMENTS = "reports/measurements.json"


def _events(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def _steps(done: subprocess.CompletedProcess[str]) -> dict[str, bool]:
    """Step name to whether it came from the cache."""
    return {row["step"]: row["cached"] for row in _events(done) if row["event"] == "step-finished"}


def _files(bundle: Path) -> dict[str, bytes]:
    return {
        path.relative_to(bundle).as_posix(): path.read_bytes()
        for path in sorted(bundle.rglob("*"))
        if path.is_file() and path.relative_to(bundle).as_posix() != MEASUREMENTS
    }


def test_a_build_ends_in_one_line_and_a_sound_bundle(project: Path, run_cli: Cli) -> None:
    done = run_cli("build", "--target", "int8", cwd=project)
    assert done.returncode == 0, done.stderr
    first, *_, last = done.stdout.splitlines()
    for word in ("built int8", "int8", "KiB", "p50", "cosine", "nodes on CPU"):
        assert word in first
    assert last == "  next: edgetool verify dist/tiny-1.0.0-int8.edgebundle"
    bundle = project / "dist/tiny-1.0.0-int8.edgebundle"
    assert run_cli("verify", bundle).returncode == 0
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    assert [row["name"] for row in manifest["passes"]] == ["simplify", "quantize-static"]
    assert manifest["precision"] == "int8"
    assert manifest["calibration"]["count"] == 40
    assert manifest["evaluation"]["count"] == 8
    assert manifest["tools"]["onnxruntime"]
    assert [row["status"] for row in manifest["verdicts"]] == ["held"]
    assert str(project) not in (bundle / "manifest.json").read_text()
    measurements = json.loads((bundle / MEASUREMENTS).read_bytes())
    assert measurements["latency"]["engine"]["p50_s"] > 0
    assert measurements["host"]["threads"] >= 1


def test_engines_agree_with_the_network_they_came_from(project: Path, run_cli: Cli) -> None:
    """The bundle's own golden outputs, against numbers computed here by ONNX's reference implementation."""
    from onnx.reference import ReferenceEvaluator

    from edgetool.bundle.golden import read_golden

    for target, tolerance in (("float", 1e-5), ("openvino", 1e-4), ("int8", 0.2)):
        assert run_cli("build", "--target", target, cwd=project).returncode == 0
        (case,) = read_golden(project / f"dist/tiny-1.0.0-{target}.edgebundle/io")
        (wanted,) = ReferenceEvaluator(onnx.load(project / "model.onnx")).run(None, dict(case.inputs))
        assert np.abs(case.outputs["y"] - wanted).max() <= tolerance * np.abs(wanted).max()


def test_an_unchanged_rebuild_runs_nothing_and_leaves_the_bundle_alone(project: Path, run_cli: Cli) -> None:
    run_cli("build", "--target", "int8", cwd=project)
    manifest = project / "dist/tiny-1.0.0-int8.edgebundle/manifest.json"
    before = manifest.stat().st_mtime_ns
    done = run_cli("build", "--target", "int8", "--json", cwd=project)
    assert done.returncode == 0
    assert all(_steps(done).values()), _steps(done)
    assert manifest.stat().st_mtime_ns == before


def test_an_unchanged_rebuild_imports_no_framework(project: Path, run_cli: Cli) -> None:
    import sys

    run_cli("build", "--target", "int8", cwd=project)
    code = (
        "import sys, runpy; sys.argv = ['edgetool', 'build', '--target', 'int8']\n"
        "try: runpy.run_module('edgetool', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print([name for name in ('numpy', 'onnx', 'onnxruntime', 'torch', 'openvino') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("change", "rerun"),
    [
        ("evaluation sample", {"evaluation-data", "validate", "bundle"}),
        ("calibration sample", {"calibration-data", "quantize-static", "supports", "build", "validate", "bundle"}),
        ("new calibration sample", {"calibration-data", "quantize-static", "supports", "build", "validate", "bundle"}),
        ("option", {"quantize-static", "supports", "build", "validate", "bundle"}),
        ("model", {"import", "simplify", "calibration-data", "evaluation-data", "quantize-static", "supports", "build",
                   "validate", "bundle"}),
    ],
)  # fmt: skip
def test_a_change_reruns_what_depends_on_it(
    project: Path, run_cli: Cli, edit: Callable[[str, str], None], change: str, rerun: set[str]
) -> None:
    run_cli("build", "--target", "int8", cwd=project)
    if "sample" in change:
        folder = project / ("eval" if change.startswith("evaluation") else "calib")
        name = "zz.npz" if change.startswith("new") else "00.npz"
        np.savez(folder / name, x=np.full((1, 3, 8, 8), 0.5, "float32") + np.eye(8, dtype="float32"))
    elif change == "option":
        edit('use = "quantize-static"', 'use = "quantize-static", weight_bits = 7')
    else:
        model = onnx.load(project / "model.onnx")
        model.graph.initializer[0].raw_data = bytes(np.frombuffer(model.graph.initializer[0].raw_data, "f4") * 1.5)
        onnx.save(model, project / "model.onnx")
    done = run_cli("build", "--target", "int8", "--json", cwd=project)
    assert done.returncode == 0, done.stderr
    ran = {step for step, cached in _steps(done).items() if not cached}
    assert ran <= rerun
    assert {"validate", "bundle"} <= ran
    why = run_cli("cache", "why", "int8")
    assert why.returncode == 0
    assert "ran, because" in why.stdout


def test_equal_inputs_give_equal_bytes_wherever_they_lie(project: Path, run_cli: Cli, tmp_path: Path) -> None:
    elsewhere = tmp_path / "some where else"
    shutil.copytree(project, elsewhere)
    env = {"SOURCE_DATE_EPOCH": "1700000000"}
    for target in ("int8", "openvino"):
        assert run_cli("build", "--target", target, cwd=project, env=env).returncode == 0
        done = run_cli(
            "build", "--target", target, "--no-cache",
            "--output", tmp_path / "out", cwd=elsewhere, env=env,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        name = f"tiny-1.0.0-{target}.edgebundle"
        assert _files(project / "dist" / name) == _files(tmp_path / "out" / name)


def test_budgets_decide_the_exit_code(project: Path, run_cli: Cli) -> None:
    done = run_cli("build", "-t", "int8", "--set", "targets.int8.budget.min_cosine=0.99999999", cwd=project)
    assert done.returncode == 4
    assert "missed: min_cosine" in done.stdout
    assert (project / "dist/tiny-1.0.0-int8.edgebundle/manifest.json").is_file()
    done = run_cli("build", "-t", "int8", "--set", "targets.int8.budget.size=1KiB", cwd=project)
    assert done.returncode == 4
    assert "missed: size 1.0 KiB, measured" in done.stdout


def test_without_real_data_nothing_is_proven(project: Path, run_cli: Cli, edit: Callable[[str, str], None]) -> None:
    edit('evaluation = "eval"\n', "")
    done = run_cli("build", "--target", "float", cwd=project)
    assert done.returncode == 9
    assert "nothing was compared on real data" in done.stdout
    assert "--allow-unverified" in done.stdout
    allowed = run_cli("build", "--target", "float", "--allow-unverified", cwd=project)
    assert allowed.returncode == 0
    assert "unverified" in allowed.stdout.splitlines()[0]


def test_several_targets_side_by_side(project: Path, run_cli: Cli) -> None:
    done = run_cli("build", "-t", "float", "-t", "int8", "-t", "openvino", "--jobs", "3", "--json", cwd=project)
    assert done.returncode == 0, done.stderr
    result = _events(done)[-1]
    assert result["event"] == "result"
    assert [row["target"] for row in result["targets"]] == ["float", "int8", "openvino"]
    assert all((project / row["bundle"]).is_dir() for row in result["targets"])


def test_one_failed_target_does_not_stop_the_others(project: Path, run_cli: Cli) -> None:
    done = run_cli("build", "-t", "int8", "-t", "float", "--set", "targets.int8.budget.size=1B", cwd=project)
    assert done.returncode == 4
    assert "built float" in done.stdout


def test_dry_run_builds_nothing(project: Path, run_cli: Cli) -> None:
    done = run_cli("build", "-t", "int8", "--dry-run", cwd=project)
    assert done.returncode == 0
    assert "weight_bits = 8" in done.stdout
    assert not (project / "dist").exists()


def test_facts_of_the_target_become_options(project: Path, run_cli: Cli, edit: Callable[[str, str], None]) -> None:
    edit("[targets.int8]\n", "[targets.int8]\nfacts = { weight_bits = 7 }\n")
    done = run_cli("build", "-t", "int8", "--dry-run", cwd=project)
    assert "weight_bits = 7" in done.stdout


def test_the_lock_is_kept_and_drift_is_named(project: Path, run_cli: Cli) -> None:
    assert run_cli("build", "-t", "int8", "--locked", cwd=project).returncode == 2
    assert run_cli("build", "-t", "int8", "--update-lock", cwd=project).returncode == 0
    assert run_cli("build", "-t", "int8", "--locked", cwd=project).returncode == 0
    lock = (project / "edgetool.lock").read_text()
    assert str(project) not in lock
    np.savez(project / "calib/00.npz", x=np.eye(8, dtype="float32")[None, None].repeat(3, 1))
    done = run_cli("build", "-t", "int8", "--locked", cwd=project)
    assert done.returncode == 8
    assert "calib/00.npz" in done.stderr


def test_measurements_are_reused_until_asked_for_again(project: Path, run_cli: Cli) -> None:
    path = project / "dist/tiny-1.0.0-float.edgebundle" / MEASUREMENTS

    def measured(*options: str) -> dict[str, Any]:
        assert run_cli("build", "-t", "float", *options, cwd=project).returncode == 0
        found: dict[str, Any] = json.loads(path.read_bytes())
        return found

    first, again, fresh = measured(), measured(), measured("--remeasure")
    assert first["latency"] == again["latency"]
    assert fresh["latency"] != first["latency"]


def test_validate_runs_the_golden_inputs_and_notices_another_engine(project: Path, run_cli: Cli) -> None:
    run_cli("build", "-t", "float", cwd=project)
    bundle = project / "dist/tiny-1.0.0-float.edgebundle"
    done = run_cli("validate", bundle)
    assert done.returncode == 0, done.stderr
    assert "golden outputs agree" in done.stdout
    (bundle / "model" / "model.onnx").write_bytes(b"another engine")
    done = run_cli("validate", bundle)
    assert done.returncode == 7


def test_a_source_on_the_command_line_brings_its_own_signature(project: Path, run_cli: Cli) -> None:
    os.rename(project / "model.onnx", project / "other.onnx")  # noqa: PTH104 # the shortest way to say it
    done = run_cli("build", "other.onnx", "-t", "float", "--allow-unverified", cwd=project)
    assert done.returncode == 0, done.stderr
    assert (project / "dist/other-0.0.0-float.edgebundle").is_dir()


def test_a_file_that_is_edited_while_it_is_read_is_read_again(
    project: Path, run_cli: Cli, edit: Callable[[str, str], None]
) -> None:
    """The edit comes after the reading: its digest must not stand for the samples of before."""
    (project / "value.txt").write_text("1")
    (project / "mydata.py").write_text(
        "import pathlib\nimport numpy as np\n"
        "def evaluation():\n"
        "    path = pathlib.Path(__file__).with_name('value.txt')\n"
        "    value = float(path.read_text())\n"
        "    path.write_text('2')\n"
        "    noise = np.random.default_rng(0).normal(size=(4, 1, 3, 8, 8)).astype('float32')\n"
        "    return [{'x': sample * value} for sample in noise]\n"
    )
    edit('evaluation = "eval"', 'evaluation = "mydata:evaluation"')

    first = run_cli("build", "-t", "float", cwd=project)
    assert first.returncode == 2
    assert "reading the samples a second time gave other samples" in first.stderr
    again = run_cli("build", "-t", "float", cwd=project)
    assert again.returncode == 0, again.stderr
