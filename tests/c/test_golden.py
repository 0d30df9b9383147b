"""The self-test that travels with the engine: the same on this computer and on the emulated board."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgetool.artifact import Engine
from edgetool.bundle.golden import write_golden
from edgetool.testing import tiny_int8_cnn, tiny_text
from edgetool.testing.models import MakeModel
from edgetool.testing.samples import feeds_for
from edgetool_c.backend import PlainC
from edgetool_c.options import COptions
from tests.c.conftest import CONTEXT
from tests.c.fixing import fixed

BOARDS = ["host", "mps2-an386"]


@pytest.fixture
def make(require_tool: Callable[[str], str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs make in an engine's folder."""
    for name in ("make", "gcc", "arm-none-eabi-gcc", "qemu-system-arm"):
        require_tool(name)

    def run(engine: Engine, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", "-s", "-C", engine.directory, *arguments], capture_output=True, text=True, timeout=60, check=False
        )

    return run


def bundled(folder: Path, model: MakeModel, build: Callable[..., Engine]) -> tuple[Engine, Path]:
    """An engine, and golden tensors that the host made, in a folder of their own."""
    options = COptions(board="host")
    engine = build(fixed(model)(folder), options)
    feeds = feeds_for(engine.signature, seed=9)
    with PlainC(options).open(engine, CONTEXT) as runner:
        outputs = runner.infer(feeds)
    io = folder / "io"
    io.mkdir()
    write_golden(io, feeds, outputs)
    return engine, io


@pytest.mark.parametrize("model", [tiny_int8_cnn, tiny_text])
@pytest.mark.parametrize("board", BOARDS)
def test_golden_test_passes(
    board: str, model: MakeModel, tmp_path: Path, build: Callable[..., Engine], make: Callable[..., object]
) -> None:
    engine, io = bundled(tmp_path, model, build)
    before = sorted(engine.directory.rglob("*"))
    done = make(engine, "test", f"BOARD={board}", f"IO={io}")
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr  # semihosting prints on the emulator's error stream
    assert "golden test passed" in said
    assert said.count("as expected") == len(engine.signature.outputs)
    assert "warning" not in done.stderr
    assert sorted(engine.directory.rglob("*")) == before, "a bundle with more files than were signed is refused"


@pytest.mark.parametrize("board", BOARDS)
def test_a_corrupted_golden_output_fails(
    board: str, tmp_path: Path, build: Callable[..., Engine], make: Callable[..., object]
) -> None:
    engine, io = bundled(tmp_path, tiny_int8_cnn, build)
    golden = io / "case0-output0.bin"
    values = np.frombuffer(golden.read_bytes(), np.float32).copy()
    values[1] += 0.05
    golden.write_bytes(values.tobytes())
    done = make(engine, "test", f"BOARD={board}", f"IO={io}")
    assert done.returncode != 0
    assert "output_y: DIFFERS" in done.stdout + done.stderr


def test_the_exit_status_is_the_one_of_the_image(
    tmp_path: Path, build: Callable[..., Engine], make: Callable[..., object]
) -> None:
    engine, io = bundled(tmp_path, tiny_int8_cnn, build)
    for corrupt, status in ((False, 0), (True, 1)):
        if corrupt:
            (io / "case0-input0.bin").write_bytes(bytes((io / "case0-input0.bin").stat().st_size))
        make(engine, "test", "BOARD=mps2-an386", f"IO={io}", f"BUILD={tmp_path / 'kept'}")
        done = subprocess.run(
            ["qemu-system-arm", "-M", "mps2-an386", "-nographic", "-monitor", "none", "-serial", "none",
             "-semihosting-config", "enable=on,target=native",
             "-kernel", tmp_path / "kept" / "golden_test"],
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == status


def test_integers_must_be_equal(tmp_path: Path, build: Callable[..., Engine], make: Callable[..., object]) -> None:
    from onnx import TensorProto, helper

    from tests.c.writing import written

    def sorted_up(folder: Path):  # type: ignore[no-untyped-def]
        nodes = [helper.make_node("Neg", ["x"], ["y"])]
        return written(folder / "m.onnx", nodes, [("x", (1, 9))], [("y", (1, 9))], dtype=TensorProto.INT32)

    engine, io = bundled(tmp_path, sorted_up, build)
    assert make(engine, "test", f"IO={io}").returncode == 0
    golden = io / "case0-output0.bin"
    golden.write_bytes(bytes([golden.read_bytes()[0] ^ 1]) + golden.read_bytes()[1:])
    assert make(engine, "test", f"IO={io}").returncode != 0


@pytest.mark.slow
def test_cmake_builds_the_library(
    tmp_path: Path, build: Callable[..., Engine], require_tool: Callable[[str], str]
) -> None:
    require_tool("cmake")
    engine, _ = bundled(tmp_path, tiny_int8_cnn, build)
    folder = tmp_path / "cmake"
    subprocess.run(["cmake", "-S", engine.directory, "-B", folder], check=True, capture_output=True, timeout=60)
    subprocess.run(["cmake", "--build", folder], check=True, capture_output=True, timeout=60)
    symbols = subprocess.check_output(["nm", folder / "libedgetool_model.a"], text=True).splitlines()
    public = [line.split()[-1] for line in symbols if " T " in line or " D " in line or " B " in line or " R " in line]
    assert public == ["model_run"]


@pytest.mark.slow
def test_two_networks_link_into_one_firmware(
    tmp_path: Path, build: Callable[..., Engine], require_tool: Callable[[str], str]
) -> None:
    require_tool("gcc")
    objects = []
    for name in ("first_run", "second_run"):
        (tmp_path / name).mkdir()
        engine = build(fixed(tiny_int8_cnn)(tmp_path / name), COptions(board="host", function=name))
        objects.append(tmp_path / f"{name}.o")
        subprocess.run(["gcc", "-c", "-I.", "model.c", "-o", objects[-1]], cwd=engine.directory, check=True)
    main = tmp_path / "main.c"
    main.write_text(
        "void first_run(const void *, void *);\nvoid second_run(const void *, void *);\n"
        "static float x[2][3][8][8], y[2][4];\nint main(void) { first_run(x, y); second_run(x, y); return 0; }\n"
    )
    program = tmp_path / "both"
    subprocess.run(["gcc", main, *objects, "-o", program, "-lm"], check=True)
    subprocess.run([program], check=True)
