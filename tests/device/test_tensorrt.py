"""The self-test for TensorRT, compiled against headers that declare what it calls, with one engine behind them.

Unverified for TensorRT itself, whose library and headers no package brings. What is tested here is the program's own
work: conversions, buffers, shapes, refusals.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgetool.artifact import Engine, JsonValue
from edgetool.bundle.golden import write_golden
from edgetool.signature import Signature
from edgetool_tensorrt.backend import TensorRt
from edgetool_tensorrt.options import TensorRtOptions
from tests.device.conftest import tool
from tests.device.selftest import STRICT, run, write_sources

STAND_IN = Path(__file__).parent / "tensorrt_stand_in"
X = np.arange(6).reshape(3, 2)

Program = Callable[..., Path]


def write_engine_bundle(
    folder: Path,
    x: str,
    plan: str,
    *,
    entry: str = "engine.plan",
    options: TensorRtOptions | None = None,
    **facts: JsonValue,
) -> Path:
    for name in ("model", "io"):
        (folder / name).mkdir(parents=True)
    (folder / "model" / entry).write_text(plan)
    outputs = {"doubled": (X * 2).astype(x), "count": np.array(3, "int32")}
    write_golden(folder / "io", {"x": X.astype(x)}, outputs)
    engine = Engine("tensorrt", folder / "model", entry, "float32", Signature((), ()), facts=facts)
    own = TensorRt(options or TensorRtOptions()).device_sources(engine)
    write_sources(folder, own, f"model/{entry}")
    return folder


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The program for a version, under the sanitizers."""
    made: dict[tuple[str, ...], Path] = {}

    def compiled(*defines: str) -> Path:
        if defines not in made:
            folder = tmp_path_factory.mktemp("tensorrt")
            source = write_engine_bundle(folder / "b", "float32", "plan float32") / "src"
            shared = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
            for name in sorted(source.glob("*.c")):
                subprocess.run([tool("gcc"), *STRICT, *shared, "-c", name, "-o", name.with_suffix(".o")], check=True)
            flags = [
                "-std=c++17",
                "-Wall",
                "-Wextra",
                "-Wpedantic",
                "-Wconversion",
                "-Wshadow=local",
                "-Werror",
                *shared,
            ]
            objects = sorted(map(str, source.glob("*.o")))
            defined = [f"-D{name}" for name in defines]
            files = [str(source / "runtime_tensorrt.cpp"), *objects, "-o", str(folder / "edgetool-selftest")]
            subprocess.run([tool("g++"), *flags, *defined, f"-isystem{STAND_IN}", *files], check=True)
            made[defines] = folder / "edgetool-selftest"
        return made[defines]

    return compiled


@pytest.mark.slow
@pytest.mark.parametrize(("major", "version"), [(8, "8.6.1"), (10, "10.3.0"), (11, "11.3.0")])
@pytest.mark.parametrize(("x", "plan"), [("float32", "plan float32"), ("int32", "plan int32"),
                                         ("int64", "plan int32"), ("float64", "plan float32")])  # fmt: skip
def test_golden_outputs_agree(program: Program, tmp_path: Path, major: int, version: str, x: str, plan: str) -> None:
    """Where TensorRT lacks a type, it takes and gives the next smaller one."""
    done = run([program(f"NV_TENSORRT_MAJOR={major}")], "--repeat", "2", write_engine_bundle(tmp_path / "b", x, plan))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"tensorrt {version}\n")
    assert "case 0: count: 100.00% of the values are equal" in done.stdout


@pytest.mark.slow
def test_tensorrt_rtx_is_another_product(program: Program, tmp_path: Path) -> None:
    bundle = write_engine_bundle(tmp_path / "b", "float32", "plan float32", product="tensorrt-rtx")
    assert run([program("EDGETOOL_TENSORRT_RTX")], bundle).returncode == 0
    done = run([program("NV_TENSORRT_MAJOR=10")], bundle)
    assert done.returncode == 3
    assert "for tensorrt-rtx, and this self-test for tensorrt" in done.stderr


@pytest.mark.slow
def test_a_kit_names_the_engine_that_the_device_built(program: Program, tmp_path: Path) -> None:
    bundle = write_engine_bundle(tmp_path / "b", "float32", "an ONNX", entry="model.onnx", kind="kit")
    (tmp_path / "engine.plan").write_text("plan float32")
    done = run([program("NV_TENSORRT_MAJOR=10")], bundle)
    assert done.returncode == 3
    assert "build-engine.sh" in done.stderr
    assert run([program("NV_TENSORRT_MAJOR=10")], "--engine", tmp_path / "engine.plan", bundle).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ("float32 3x2 io/case0-input0.bin x", "float32 2x3 io/case0-input0.bin x", 1, "should be float32[3,2]"),
        (
            "float32 3x2 io/case0-input0.bin x",
            "float32 6 io/case0-input0.bin x",
            3,
            "outside of the engine's profile: not",
        ),
        ("float32 3x2 io/case0-input0.bin x", "float32 3x1x1x1x1x1x1x1x2 io/case0-input0.bin x", 3, "9 dimensions"),
        ("float32 3x2 io/case0-input0.bin x", "int32 3x2 io/case0-input0.bin x", 3, "the engine takes float32"),
        ("case0-input0.bin x", "case0-input0.bin doubled", 3, "no input 'doubled'"),
        ("case0-output0.bin doubled", "case0-output0.bin x", 3, "no output 'x'"),
        ("case\n", "set dla_core 0\ncase\n", 0, ""),
        ("case\n", "set frob 0\ncase\n", 3, "'frob' is no setting of TensorRT"),
    ],
)
def test_a_wrong_configuration(program: Program, tmp_path: Path, old: str, new: str, code: int, said: str) -> None:
    bundle = write_engine_bundle(tmp_path / "b", "float32", "plan float32")
    path = bundle / "src" / "selftest.conf"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    done = run([program("NV_TENSORRT_MAJOR=10")], bundle)
    assert done.returncode == code, done.stderr
    assert said in done.stderr


@pytest.mark.slow
def test_engines_that_are_refused(program: Program, tmp_path: Path) -> None:
    bundle = write_engine_bundle(tmp_path / "b", "float32", "plan of another version")
    done = run([program("NV_TENSORRT_MAJOR=10")], bundle)
    assert done.returncode == 3
    assert "the engine is refused: magicTag does not match" in done.stderr
    (bundle / "model" / "engine.plan").write_text("")
    assert "it cannot be read, or is empty" in run([program("NV_TENSORRT_MAJOR=10")], bundle).stderr


@pytest.mark.slow
def test_integers_that_do_not_fit(program: Program, tmp_path: Path) -> None:
    bundle = write_engine_bundle(tmp_path / "b", "int64", "plan int32")
    (X.astype("<i8") + 2**40).tofile(bundle / "io" / "case0-input0.bin")
    done = run([program("NV_TENSORRT_MAJOR=8")], bundle)
    assert done.returncode == 3
    assert "beyond int32" in done.stderr


@pytest.mark.slow
def test_cmake_finds_what_it_is_told(tmp_path: Path) -> None:
    """With the libraries that the headers stand for being empty."""
    bundle = write_engine_bundle(tmp_path / "b", "float32", "plan float32")
    root = tmp_path / "root"
    (root / "lib").mkdir(parents=True)
    (root / "include").symlink_to(STAND_IN)
    for name in ("nvinfer", "cudart"):
        library = str(root / "lib" / f"lib{name}.so")
        subprocess.run([tool("g++"), "-shared", "-o", library, "-x", "c++", "/dev/null"], check=True)
    where = [f"-DTENSORRT_ROOT={root}", f"-DCUDA_ROOT={root}"]
    configured = run([tool("cmake")], "-S", bundle / "src", "-B", tmp_path / "build", *where)
    assert configured.returncode == 0, configured.stderr
    made = run([tool("cmake")], "--build", tmp_path / "build")
    assert made.returncode == 0, made.stderr
    assert run([tmp_path / "build" / "edgetool-selftest"], bundle).returncode == 0
    missing = run([tool("cmake")], "-S", bundle / "src", "-B", tmp_path / "other", f"-DCUDA_ROOT={root}")
    assert missing.returncode != 0


def test_the_accelerator_is_a_setting(tmp_path: Path) -> None:
    write_engine_bundle(tmp_path / "b", "float32", "plan float32", options=TensorRtOptions(dla_core=1))
    assert "set dla_core 1\n" in (tmp_path / "b" / "src" / "selftest.conf").read_text()
