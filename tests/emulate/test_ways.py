"""Which way is taken on which machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgetool.emulate.cells import Emulation, planned
from edgetool.emulate.interpreter import write_interpreter
from edgetool.emulate.processors import named
from edgetool.emulate.ways import CrossTested, Emulated, Machine, Masked, NotShown, Subject, Way, way_to

OPENVINO = Subject("openvino", True, "ONEDNN_MAX_CPU_ISA", "openvino")
ORT = Subject("onnxruntime", True, None, "onnxruntime")
FULL = ("sse4_1", "sse4_2", "avx", "f16c", "fma", "avx2", "avx512f", "avx512bw", "avx512_vnni")
PC = Machine("x86_64", FULL, lambda name: f"/usr/bin/{name}")
BARE = Machine("x86_64", FULL, lambda name: None)
OLD = Machine("x86_64", FULL[:6], lambda name: f"/usr/bin/{name}")
ARM = Machine("aarch64", ("asimd",), lambda name: f"/usr/bin/{name}")


def way(name: str, subject: Subject, machine: Machine, *, masking: bool = False) -> Way:
    return way_to(named([name])[0], subject, machine, masking=masking)


def test_a_name_means_all_of_the_processor_and_a_level_only_its_kernels() -> None:
    assert way("haswell", OPENVINO, PC) == Emulated("/usr/bin/qemu-x86_64", "Haswell")
    assert way("haswell", OPENVINO, PC, masking=True) == Masked("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert way("haswell", ORT, PC, masking=True) == Emulated("/usr/bin/qemu-x86_64", "Haswell")
    assert way("skylake-server", OPENVINO, PC) == Masked("ONEDNN_MAX_CPU_ISA", "AVX512_CORE")


def test_arm_from_a_pc_and_on_arm() -> None:
    emulator, compiler = "/usr/bin/qemu-aarch64", "/usr/bin/aarch64-linux-gnu-gcc"
    assert way("cortex-a53", ORT, PC) == CrossTested(emulator, "cortex-a53", compiler, "onnxruntime")
    assert way("cortex-a53", ORT, ARM) == Emulated(emulator, "cortex-a53")


@pytest.mark.parametrize(
    ("name", "subject", "machine", "why", "fix"),
    [
        ("haswell", ORT, BARE, "qemu-x86_64 is not installed", "apt-get install qemu-user"),
        ("cortex-a72", ORT, BARE, "qemu-aarch64 is not installed", "apt-get install qemu-user"),
        ("skylake-server", ORT, PC, "qemu has no AVX-512", "on a machine with Xeon of 2017"),
        ("skylake-server", OPENVINO, OLD, "this machine has no avx512f, avx512bw", "on a machine with Xeon"),
        ("skylake-server", OPENVINO, ARM, "this machine is aarch64", "on a machine with Xeon"),
        ("haswell", OPENVINO, ARM, "this machine is aarch64, and not x86_64", "on such a machine"),
        ("haswell", Subject("tensorrt", False, None, None), PC, "does not run on the processor", "--on HOST"),
    ],
)
def test_what_cannot_be_shown_says_why(name: str, subject: Subject, machine: Machine, why: str, fix: str) -> None:
    found = way(name, subject, machine)
    assert isinstance(found, NotShown)
    assert why in found.why
    assert fix in str(found.fix)


def test_without_the_cross_compiler() -> None:
    machine = Machine("x86_64", FULL, lambda name: None if "gcc" in name else name)
    found = way("cortex-a53", ORT, machine)
    assert isinstance(found, NotShown)
    assert "gcc-aarch64-linux-gnu" in str(found.fix)


def test_a_sweep_and_names_together() -> None:
    cells = planned(Emulation(True, named(["haswell"])), ORT, PC)
    assert [cell.id for cell in cells] == [
        "isa/sse4", "isa/avx2", "isa/avx512", "isa/avx512-vnni", "emulation/haswell",
    ]  # fmt: skip
    assert not Emulation(False, ())


def test_the_interpreter_of_a_mask(tmp_path: Path) -> None:
    python = write_interpreter(tmp_path, Masked("ONEDNN_MAX_CPU_ISA", "AVX2"))
    code = "import os, sys; print(os.environ['ONEDNN_MAX_CPU_ISA'], sys.argv[1], sys.prefix)"
    done = subprocess.run([python, "-c", code, "a b$"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"AVX2 a b$ {sys.prefix}"


def test_the_interpreter_of_an_emulator_in_a_folder_with_spaces(tmp_path: Path) -> None:
    emulator = tmp_path / "my qemu"
    emulator.write_text('#!/bin/sh\nshift 2\nexec "$@"\n')
    emulator.chmod(0o755)
    python = write_interpreter(tmp_path, Emulated(str(emulator), "Haswell"))
    done = subprocess.run([python, "-c", "print(1)"], capture_output=True, text=True, check=True, env={**os.environ})
    assert done.stdout == "1\n"
