"""A folder that somebody else filled: what lies beside a model is not taken for a library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny import write_tiny_project

EDGETOOL = Path(sys.executable).with_name("edgetool")
LIBRARIES = ("json", "logging", "numpy", "onnx", "onnxruntime", "pydantic", "typer", "cryptography", "edgetool")
TARGETS = """\
schema = 1
[model]
name = "tiny"
version = "1.0.0"
source = "model.onnx"
[targets.ort]
backend = "onnxruntime"
"""


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A project with modules that bear the names of libraries and leave a mark when they are imported."""
    write_tiny_project(tmp_path, TARGETS, calibration=1, evaluation=1)
    for name in LIBRARIES:
        (tmp_path / f"{name}.py").write_text(
            f"open({str(tmp_path / 'ran')!r}, 'a').write({name!r})\nraise SystemExit(99)\n"
        )
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("inspect", "model.onnx"), marks=pytest.mark.slow),
        ("check", "-t", "ort"),
        pytest.param(("doctor", "-t", "ort"), marks=pytest.mark.slow),
        pytest.param(("build", "-t", "ort", "--latency-time", "0.05s"), marks=pytest.mark.slow),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_module_beside_the_model_is_not_imported(foreign: Path, arguments: tuple[str, ...]) -> None:
    done = subprocess.run([EDGETOOL, *arguments], cwd=foreign, capture_output=True, text=True, check=False)
    assert not (foreign / "ran").exists(), (foreign / "ran").read_text()
    assert done.returncode in (0, 9), done.stderr  # 9: nothing is there to compare with
