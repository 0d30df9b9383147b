"""What the builder for an installed TensorRT says where there is none, an old one, or no GPU."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from edgetool.backends import Site
from edgetool.errors import UnavailableError
from edgetool_tensorrt.local.here import this_machine
from edgetool_tensorrt.local.probe import availability
from edgetool_tensorrt.local.toolkit import load_toolkit
from edgetool_tensorrt.options import TensorRtOptions
from edgetool_tensorrt.version import Version
from tests.tensorrt.standin.device import create

OPTIONS = TensorRtOptions()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution `tensorrt` that can be found, and not be loaded."""
    folder = tmp_path / "site"
    (folder / "tensorrt-10.3.0.dist-info").mkdir(parents=True)
    (folder / "tensorrt-10.3.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: tensorrt\nVersion: 10.3.0\n"
    )
    (folder / "tensorrt").mkdir()
    (folder / "tensorrt" / "__init__.py").write_text("raise ImportError('libnvinfer.so.10: cannot open')\n")
    monkeypatch.syspath_prepend(folder)


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver's program that names a card with compute capability 8.6."""
    pytest.importorskip("tensorrt_rtx")
    device = create(tmp_path / "device")
    monkeypatch.setenv("PATH", f"{device.bin}:/usr/bin:/bin")


@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="TensorRT is installed")
def test_without_tensorrt_it_is_said_how_to_get_it() -> None:
    found = availability(OPTIONS, Site())
    assert not found.can_build
    assert found.why_not == "TensorRT is not installed for this Python"
    with pytest.raises(UnavailableError) as caught:
        load_toolkit()
    assert caught.value.code == "tensorrt-missing"


def test_without_a_gpu_nothing_can_be_built(installed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    found = availability(OPTIONS, Site())
    assert not found.can_build
    assert found.version == "10.3.0"
    assert "no NVIDIA GPU" in str(found.why_not)


def test_a_release_that_is_too_old_is_left_to_its_trtexec(tmp_path: Path, installed: None) -> None:
    metadata = tmp_path / "site" / "tensorrt-10.3.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("10.3.0", "8.5.2"))
    found = availability(OPTIONS, Site())
    assert not found.can_build
    assert "8.6" in str(found.why_not)


def test_a_card_and_tensorrt_are_enough_to_build(installed: None, card: None) -> None:
    found = availability(OPTIONS, Site(facts={"sm": 86}))
    assert found.can_build
    assert found.device["sm"] == 86
    assert found.device["tensorrt"] == "10.3.0"
    assert found.can_run == (found.why_not is None)


def test_another_gpu_than_the_target_says_is_the_wrong_device(installed: None, card: None) -> None:
    found = availability(OPTIONS, Site(facts={"sm": 87}))
    assert not found.can_build
    assert found.device_error == "device-not-as-described"
    assert "87" in str(found.why_not)


def test_the_version_is_that_of_python_not_of_trtexec(installed: None, card: None) -> None:
    assert this_machine(OPTIONS).tensorrt == Version(10, 3)


def test_a_package_without_its_libraries_cannot_be_loaded(installed: None) -> None:
    with pytest.raises(UnavailableError, match=r"libnvinfer\.so\.10") as caught:
        load_toolkit()
    assert caught.value.code == "tensorrt-missing"
