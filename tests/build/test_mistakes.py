"""What users do wrong: one clear line, where it is, what to do, the right exit code, nothing half-written."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

Cli = Callable[..., subprocess.CompletedProcess[str]]


def _nothing_written(project: Path) -> bool:
    return not (project / "dist").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\x89PNG\r\n\x1a\n" + b"0" * 50, "PNG"),
        (b"PK\x03\x04" + b"0" * 50, "zip"),
        (b"garbage" * 100, "ONNX"),
    ],
)
def test_files_that_are_no_model(project: Path, run_cli: Cli, content: bytes, words: str) -> None:
    (project / "model.onnx").write_bytes(content)
    done = run_cli("build", "--target", "float", cwd=project)
    assert done.returncode == 3, done.stderr
    assert words.lower() in done.stderr.lower()
    assert "model.onnx" in done.stderr
    assert _nothing_written(project)


def test_a_truncated_model(project: Path, run_cli: Cli) -> None:
    data = (project / "model.onnx").read_bytes()
    (project / "model.onnx").write_bytes(data[: len(data) // 2])
    done = run_cli("build", "--target", "float", cwd=project)
    assert done.returncode == 3
    assert "truncated" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_model_is_answered_at_once_and_never_looked_up_elsewhere(project: Path, run_cli: Cli) -> None:
    (project / "model.onnx").unlink()
    started = time.monotonic()
    done = run_cli("build", "--target", "float", cwd=project)
    assert done.returncode == 2
    assert "there is no file 'model.onnx'" in done.stderr
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        ('backend = "onnxruntime"\nrecipe', 'backend = "onnxruntim"\nrecipe', 5, "onnxruntime"),
        ('use = "quantize-static"', 'use = "quantise-static"', 2, "quantize-static"),
        ('use = "quantize-static"', 'use = "quantize-static", weight_bit = 7', 2, "weight_bits"),
        ('recipe = "int8"', 'recipe = "int9"', 2, "int8"),
        ("min_cosine = 0.98", "min_cosin = 0.98", 2, "min_cosine"),
        ("max = 4", "max = 0", 2, "max"),
        ("[model.inputs.x]", "[model.inputs.y]", 2, "x"),
        ('shape = ["batch", 3, 8, 8]', 'shape = ["batch", 3, 8]', 2, "x"),
        ('shape = ["batch", 3, 8, 8]', 'shape = ["batch", 3, "height", 8]', 3, "height"),
        ('shape = ["batch", 3, 8, 8]', 'shape = ["batch", 3, 8, 8]\ndtype = "int64"', 2, "float32"),
        ('calibration = "calib"', 'calibration = "calibration"', 2, "calib"),
        ('evaluation = "eval"', 'evaluation = "eval"\nmetric = "top9"', 2, "top"),
        ("schema = 1", "schema = 2", 2, "schema"),
        ("schema = 1", "schema = 1\nschema = 1", 2, "targets.toml"),
    ],
)
def test_mistakes_in_the_targets_file(
    project: Path, run_cli: Cli, edit: Callable[[str, str], None], old: str, new: str, code: int, words: str
) -> None:
    edit(old, new)
    done = run_cli("build", "--target", "int8", cwd=project)
    assert done.returncode == code, done.stdout + done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert _nothing_written(project)


def test_an_unknown_target(project: Path, run_cli: Cli) -> None:
    done = run_cli("build", "--target", "flaot", cwd=project)
    assert done.returncode == 2
    assert "float" in done.stderr


def test_no_targets_file(tmp_path: Path, run_cli: Cli) -> None:
    done = run_cli("build", "--target", "x", cwd=tmp_path)
    assert done.returncode == 2
    assert "edgetool init" in done.stderr


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: [path.unlink() for path in folder.iterdir()], "empty"),
        (lambda folder: (folder / "00.npz").write_bytes(b"not a zip"), "00.npz"),
        (lambda folder: np.savez(folder / "00.npz", x=np.full((1, 3, 8, 8), np.nan, "float32")), "NaN"),
        (lambda folder: np.savez(folder / "00.npz", x=np.zeros((1, 3, 8), "float32")), "00.npz"),
        (lambda folder: np.savez(folder / "00.npz", image=np.zeros((1, 3, 8, 8), "float32")), "image"),
        (lambda folder: np.savez(folder / "00.npz", x=np.array([["text"]])), "00.npz"),
        (
            lambda folder: [np.savez(path, x=np.ones((1, 3, 8, 8), "float32")) for path in folder.iterdir()],
            "constant",
        ),
    ],
)
def test_calibration_data_that_is_useless(
    project: Path, run_cli: Cli, make: Callable[[Path], object], words: str
) -> None:
    make(project / "calib")
    done = run_cli("build", "--target", "int8", cwd=project)
    assert done.returncode == 2, done.stdout + done.stderr
    assert words in done.stderr
    assert _nothing_written(project)


def test_calibration_that_is_missing_names_the_pass(
    project: Path, run_cli: Cli, edit: Callable[[str, str], None]
) -> None:
    edit('calibration = "calib"\n', "")
    done = run_cli("build", "--target", "int8", cwd=project)
    assert done.returncode == 2
    assert "quantize-static" in done.stderr
    assert "random data is never used" in done.stderr


def test_a_data_function_that_raises_names_its_line(
    project: Path, run_cli: Cli, edit: Callable[[str, str], None]
) -> None:
    (project / "mydata.py").write_text("def calibration():\n    raise KeyError('where is it')\n")
    edit('calibration = "calib"', 'calibration = "mydata:calibration"')
    done = run_cli("build", "--target", "int8", cwd=project)
    assert done.returncode == 2
    assert "mydata.py:2" in done.stderr
    assert "where is it" in done.stderr


def test_weights_that_are_not_finite(project: Path, run_cli: Cli) -> None:
    model = onnx.load(project / "model.onnx")
    weight = model.graph.initializer[0]
    values = onnx.numpy_helper.to_array(weight).copy()
    values.flat[3] = np.nan
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    onnx.save(model, project / "model.onnx")
    done = run_cli("build", "--target", "float", cwd=project)
    assert done.returncode == 3
    assert weight.name in done.stderr


def test_a_place_that_is_taken_is_not_overwritten(project: Path, run_cli: Cli) -> None:
    place = project / "dist/tiny-1.0.0-float.edgebundle"
    place.mkdir(parents=True)
    (place / "precious.txt").write_text("precious")
    done = run_cli("build", "--target", "float", cwd=project)
    assert done.returncode == 2
    assert (place / "precious.txt").read_text() == "precious"


def test_a_damaged_cache_entry_ends_the_build(project: Path, run_cli: Cli, tmp_path: Path) -> None:
    env = {"EDGETOOL_CACHE_DIR": str(tmp_path / "cache")}
    run_cli("build", "--target", "float", cwd=project, env=env)
    engines = (tmp_path / "cache").rglob("files/model.onnx")
    (engine,) = [path for path in engines if '"step": "build"' in (path.parents[1] / "entry.json").read_text()]
    engine.write_bytes(engine.read_bytes()[:-1])
    done = run_cli("build", "--target", "float", cwd=project, env=env)
    assert done.returncode == 7
    assert "cache gc --damaged" in done.stderr
    assert run_cli("cache", "verify", env=env).returncode == 7
    assert run_cli("cache", "gc", "--damaged", env=env).returncode == 0
    assert run_cli("build", "--target", "float", cwd=project, env=env).returncode == 0


def test_errors_in_json_are_one_event(project: Path, run_cli: Cli) -> None:
    import json

    done = run_cli("build", "--target", "flaot", "--json", cwd=project)
    event = json.loads(done.stdout.splitlines()[-1])
    assert event["event"] == "error"
    assert event["code"] == "unknown-target"
    assert event["exit_code"] == done.returncode == 2
