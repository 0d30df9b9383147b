"""What is said of processors fits together, and is what the emulators offer."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable

import pytest

from edgetool.emulate.processors import levels, named, processors
from edgetool.errors import ConfigError


def test_names_in_every_form() -> None:
    assert [row.name for row in named(["denverton, cortex-a53", "Haswell", "denverton"])] == [
        "denverton",
        "cortex-a53",
        "haswell",
    ]
    assert named([]) == ()


@pytest.mark.parametrize("name", ["pentium-ii", "", "../etc", "denverton;ls"])
def test_unknown_names(name: str) -> None:
    with pytest.raises(ConfigError, match="there is no processor") as caught:
        named([f"haswell,{name}"])
    assert caught.value.code == "unknown-processor"
    assert "cortex-a72" in str(caught.value.hint)


def test_levels_only_add_instructions() -> None:
    rows = levels()
    assert [row.level for row in rows] == ["sse4", "avx2", "avx512", "avx512-vnni"]
    for older, newer in itertools.pairwise(rows):
        assert set(older.isa) < set(newer.isa)
        assert newer.onednn


def test_whatever_has_avx512_is_not_emulated() -> None:
    for row in processors():
        assert (row.qemu is None) == any(name.startswith("avx512") for name in row.isa), row.name
        assert (row.onednn is None) == (row.arch == "aarch64"), row.name
        assert (row.cpuinfo is None) == (row.arch != "aarch64"), row.name


@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
def test_qemu_knows_them(arch: str, require_tool: Callable[[str], str]) -> None:
    command = [require_tool(f"qemu-{arch}"), "-cpu", "help"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)  # it helps, and ends with 1
    words = set(told.stdout.split())
    assert {row.qemu for row in processors() if row.arch == arch and row.qemu} <= words


def test_cpuinfo_of_a_core() -> None:
    (core,) = named(["cortex-a76"])
    assert core.cpuinfo is not None
    lines = dict(
        line.split("\t: ") if "\t: " in line else line.split(": ") for line in core.cpuinfo.text().splitlines()
    )
    assert lines["CPU part"] == "0xd0b"
    assert set(core.isa) <= set(lines["Features"].split())
