"""`src/` in real bundles: there, listed, the same each time, and enough to compile and run."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest

from edgetool.backends import Backend, DeviceSources
from edgetool.bundle.golden import write_golden
from edgetool.bundle.verify import verify
from edgetool.selftest import selftest_sources
from tests.device.conftest import tool
from tests.device.selftest import run, runtime_library
from tests.tiny import write_tiny_project

Cli = Callable[..., CompletedProcess[str]]

TARGETS = """\
schema = 1

[model]
name = "tiny"
version = "1.0.0"
source = "model.onnx"
[model.inputs.x]
shape = ["batch", 3, 8, 8]
[model.dims.batch]
max = 4

[data]
calibration = "calib"
evaluation = "eval"

[recipes.int8]
passes = [{ use = "simplify" }, { use = "quantize-static" }]

[targets.int8]
backend = "onnxruntime"
recipe = "int8"
[targets.int8.budget]
min_cosine = 0.9

[targets.board]
backend = "tensorrt"
unverified = "allow"
[targets.board.builder]
kind = "kit"
[targets.board.facts]
arch = "aarch64"
sm = 87
tensorrt = "10.3.0"
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    write_tiny_project(folder, TARGETS, calibration=40, evaluation=8)
    return folder


def build(project: Path, target: str) -> Path:
    command = [sys.executable, "-m", "edgetool", "build", "--target", target]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return project / "dist" / f"tiny-1.0.0-{target}.edgebundle"


@pytest.fixture(scope="module")
def int8(project: Path) -> Path:
    """A bundle that nobody changes."""
    return build(project, "int8")


def test_a_build_carries_its_selftest(project: Path, int8: Path, program: Path) -> None:
    bundle = int8
    rows = json.loads((bundle / "manifest.json").read_text())["files"]
    listed = {row["path"] for row in rows if row["role"] == "source"}
    assert listed == {f"src/{path.name}" for path in (bundle / "src").iterdir()}
    assert {"src/selftest.conf", "src/CMakeLists.txt", "src/runtime.cmake", "src/runtime_onnxruntime.c"} <= listed
    assert verify(bundle).sound
    # The program of another bundle serves this one, too.
    done = run([program], "--library", runtime_library(), bundle)
    assert done.returncode == 0, done.stderr
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in (bundle / "src").iterdir()}
    build(project, "int8")
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in (bundle / "src").iterdir()} == before


def test_a_changed_program_is_a_changed_bundle(int8: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(int8, tmp_path / "net.edgebundle"))
    path = bundle / "src" / "agree.c"
    path.write_text(path.read_text().replace("min_cosine >= 0.999", "min_cosine >= 0"))
    assert [fault.path for fault in verify(bundle).faults] == ["src/agree.c"]


OTHER_SHAPE = "it is float32[1, 4] here, and should be float32[4, 1]"


@pytest.mark.parametrize(
    ("values", "shape", "said"),
    [
        (np.ones(4), [4, 1], OTHER_SHAPE),
        (np.full(4, np.nan), [1, 4], "4 values are NaN or infinite on one side only"),
        (np.zeros(4), [1, 4], "gain inf"),
    ],
)
def test_validate_has_the_same_rule(
    run_cli: Cli, int8: Path, tmp_path: Path, values: np.ndarray[Any, Any], shape: list[int], said: str
) -> None:
    """Where the C program says that an output is wrong, `edgetool validate` does."""
    bundle = Path(shutil.copytree(int8, tmp_path / "net.edgebundle"))
    index = json.loads((bundle / "io/index.json").read_text())
    index["cases"][0]["outputs"][0]["shape"] = shape
    record(bundle, "io/index.json", json.dumps(index).encode())
    record(bundle, "io/case0-output0.bin", values.astype("<f4").tobytes())
    done = run_cli("validate", bundle)
    assert done.returncode == 4, done.stderr
    assert said in done.stderr


def record(bundle: Path, name: str, content: bytes) -> None:
    """Change a file as somebody does who can change the manifest, too."""
    (bundle / name).write_bytes(content)
    manifest = json.loads((bundle / "manifest.json").read_text())
    row = next(row for row in manifest["files"] if row["path"] == name)
    row |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    path = bundle / "reports" / "measurements.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "content_digest": verify(bundle).content_digest}))


def test_a_kit_carries_the_source_for_tensorrt(project: Path) -> None:
    bundle = build(project, "board")
    names = {path.name for path in (bundle / "src").iterdir()}
    assert {"runtime_tensorrt.cpp", "runtime.cmake", "selftest.c"} <= names
    lines = (bundle / "src" / "selftest.conf").read_text().splitlines()
    assert lines[1:3] == ["runtime tensorrt", "entry model/model.onnx"]


@pytest.mark.slow
def test_cmake_builds_it_out_of_the_bundle(int8: Path, tmp_path: Path) -> None:
    bundle, cmake = int8, tool("cmake")
    assert run([cmake], "-S", bundle / "src", "-B", tmp_path / "build").returncode == 0
    assert run([cmake], "--build", tmp_path / "build").returncode == 0
    done = run([tmp_path / "build" / "edgetool-selftest"], "--library", runtime_library(), bundle)
    assert done.returncode == 0, done.stderr
    assert verify(bundle).sound  # nothing was left in it


def test_backends_have_none_unless_they_say_so() -> None:
    assert Backend.device_sources(None, None) is None  # type: ignore[arg-type]


def test_names_of_the_program_are_taken(tmp_path: Path) -> None:
    write_golden(tmp_path, {"x": np.zeros(1)}, {"y": np.zeros(1)})
    with pytest.raises(ValueError, match=r"agree\.c"):
        selftest_sources("model/m", tmp_path, DeviceSources("frob", {"agree.c": b""}))


def test_writing_them_imports_no_framework(tmp_path: Path) -> None:
    """A build in which nothing changed asks for them, too."""
    write_golden(tmp_path, {"x": np.zeros(1)}, {"y": np.zeros(1)})
    script = """
import sys
from pathlib import Path
from edgetool.artifact import Engine
from edgetool.plugin.loading import load_object
from edgetool.backends import Backend
from edgetool.selftest import selftest_sources
from edgetool.signature import Signature
for loader in sys.argv[2:]:
    kind = load_object(loader, Backend, what=loader)
    own = kind(kind.Options()).device_sources(Engine("any", Path(), "m", "float32", Signature((), ())))
    assert selftest_sources("model/m", Path(sys.argv[1]), own)
print(*sorted({"numpy", "onnx", "onnxruntime", "openvino", "tensorrt", "onnx_ir"} & set(sys.modules)))
"""
    loaders = ["edgetool_onnxruntime.backend:OnnxRuntime", "edgetool_openvino.backend:OpenVino",
               "edgetool_tensorrt.backend:TensorRt"]  # fmt: skip
    command = [sys.executable, "-c", script, str(tmp_path), *loaders]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
