"""The self-test cross-compiled for 64-bit ARM, and run under qemu with ONNX Runtime's own library for it."""

from __future__ import annotations

import platform
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from tests.device.conftest import tool
from tests.device.selftest import compiled, run, runtime_library

pytestmark = [pytest.mark.slow, pytest.mark.network]

CROSS = Path("/usr/aarch64-linux-gnu")

CPUINFO = """\
processor\t: 0
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x1
CPU part\t: 0xd08
CPU revision\t: 3
"""
"""Of a Cortex-A72. ONNX Runtime reads the file, which qemu's user mode leaves as the host has it, and crashes on it."""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """libonnxruntime.so out of the wheel for aarch64, in the version that is installed here."""
    import onnxruntime

    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:",
               "--platform", "manylinux_2_28_aarch64", "--python-version", platform.python_version(),
               "--dest", str(folder), f"onnxruntime=={onnxruntime.__version__}"]  # fmt: skip
    subprocess.run(command, check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        name = next(name for name in wheel.namelist() if name.startswith("onnxruntime/capi/libonnxruntime.so."))
        return Path(wheel.extract(name, folder))


@pytest.fixture(scope="module")
def selftest(
    library: Path, original: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., CompletedProcess[str]]:
    """Runs it on a Cortex-A72, as qemu has it."""
    folder = tmp_path_factory.mktemp("arm")
    program = compiled(folder, original / "src", compiler=tool("aarch64-linux-gnu-gcc"))
    (folder / "root" / "proc").mkdir(parents=True)
    (folder / "root" / "proc" / "cpuinfo").write_text(CPUINFO)
    (folder / "root" / "lib").symlink_to(CROSS / "lib")
    emulator = [tool("qemu-aarch64"), "-cpu", "cortex-a72", "-L", folder / "root", program]

    def call(*arguments: str | Path) -> CompletedProcess[str]:
        return run([*emulator, "--library", library, "--threads", "1"], *arguments)

    return call


def test_golden_outputs_agree(selftest: Callable[..., CompletedProcess[str]], original: Path) -> None:
    done = selftest("--repeat", "3", original)
    assert done.returncode == 0, done.stderr
    assert "case 0: y: cosine 1.000000" in done.stdout


def test_what_was_tampered_with(selftest: Callable[..., CompletedProcess[str]], bundle: Path) -> None:
    path = bundle / "io" / "case0-output0.bin"
    (np.fromfile(path, "<f4") * 2).tofile(path)
    assert selftest(bundle).returncode == 1
    (bundle / "model" / "model.onnx").write_bytes(b"\x00" * 100)
    assert selftest(bundle).returncode == 3


def test_a_library_of_another_processor(selftest: Callable[..., CompletedProcess[str]], bundle: Path) -> None:
    done = selftest("--library", runtime_library(), bundle)
    assert done.returncode == 3
    assert "ONNX Runtime cannot be loaded" in done.stderr


def test_cmake_with_the_toolchain_file(bundle: Path, tmp_path: Path) -> None:
    tool("aarch64-linux-gnu-gcc")
    cmake = tool("cmake")
    file = bundle / "src" / "aarch64-linux-gnu.cmake"
    configured = run([cmake], "-S", bundle / "src", "-B", tmp_path / "b", f"-DCMAKE_TOOLCHAIN_FILE={file}")
    assert configured.returncode == 0, configured.stderr
    assert run([cmake], "--build", tmp_path / "b").returncode == 0
    assert run([cmake], "--install", tmp_path / "b", "--prefix", tmp_path / "root").returncode == 0
    header = (tmp_path / "root" / "bin" / "edgetool-selftest").read_bytes()[:20]
    assert header[18:20] == (183).to_bytes(2, "little")  # EM_AARCH64
