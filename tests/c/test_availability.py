"""What is possible here, and what would change it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgetool_c import availability
from edgetool_c.backend import PlainC
from edgetool_c.options import COptions


def only(folder: Path, *programs: str) -> str:
    """A PATH with these programs alone."""
    folder.mkdir()
    for name in programs:
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    return str(folder)


def test_everything_is_here(m4: COptions) -> None:
    found = PlainC(m4).probe()
    assert (found.can_build, found.can_run, found.stand_in) == (True, True, None)
    assert found.device["board"] == "mps2-an386"
    assert found.device["compiler"]


def test_this_computer_is_a_stand_in(require_tool: Callable[[str], str]) -> None:
    require_tool("gcc")
    found = PlainC(COptions(board="host")).probe()
    assert found.can_run
    assert found.stand_in == "this computer's processor"


def test_without_the_emulator_it_builds_and_does_not_run(
    m4: COptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", only(tmp_path / "bin", "arm-none-eabi-gcc", "arm-none-eabi-size"))
    found = PlainC(m4).probe()
    assert (found.can_build, found.can_run) == (True, False)
    assert "qemu-system-arm" in str(found.why_not)
    assert "apt-get install qemu-system-arm" in str(found.fix)


def test_without_a_compiler_the_source_is_built_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", only(tmp_path / "bin"))
    found = PlainC(COptions()).probe()
    assert (found.can_build, found.can_run) == (True, False)
    assert "gcc-arm-none-eabi" in str(found.fix)


def test_without_the_generator_nothing_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability.importlib.util, "find_spec", lambda name: None)
    found = PlainC(COptions()).probe()
    assert (found.can_build, found.can_run) == (False, False)
    assert found.fix == "pip install 'edgetool[microcontroller]'"
