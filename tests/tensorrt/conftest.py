"""Devices for the tests of the TensorRT backend: a real sshd, and a real board where one is named."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgetool.testing.models import tiny_cnn
from tests.tensorrt.kit_bundle import KitDevice, link_programs, write_kit_bundle
from tests.tensorrt.ssh_device import Keys, SshDevice
from tests.tensorrt.standin.device import StandIn, create


@pytest.fixture(scope="session")
def ssh_keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed")
    return Keys.make(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def ssh_device(
    require_tool: Callable[[str], str], request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SshDevice]:
    """A device that `ssh board` reaches, once EDGETOOL_SSH_CONFIG is set, which it is. No trtexec is installed."""
    require_tool("ssh")
    require_tool("ssh-keygen")
    folder = tmp_path / "device"
    folder.mkdir()
    device = SshDevice(_sshd(require_tool), request.getfixturevalue("ssh_keys"), folder)
    device.start()
    monkeypatch.setenv("EDGETOOL_SSH_CONFIG", str(device.config))
    # Each test has a device of its own: an engine that another test's device built is not one of this device's.
    monkeypatch.setenv("EDGETOOL_CACHE_DIR", str(tmp_path / "device-cache"))
    try:
        yield device
    finally:
        device.stop()


@pytest.fixture
def standin(ssh_device: SshDevice) -> StandIn:
    """The programs of a device with SM 86 and TensorRT 10.3 on `ssh_device`: they build and compute for real."""
    pytest.importorskip("tensorrt_rtx")
    ssh_device.bin.rmdir()
    return create(ssh_device.home)


@pytest.fixture
def real_jetson() -> str:
    """The host that EDGETOOL_JETSON names; for tests with the marker `jetson`."""
    host = os.environ.get("EDGETOOL_JETSON")
    if host is None:
        pytest.skip("EDGETOOL_JETSON names no board")
    return host


@pytest.fixture(scope="session")
def kit_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a kit for a small network; copied, never changed."""
    pytest.importorskip("tensorrt_rtx")  # the stand-in device builds with it
    folder = tmp_path_factory.mktemp("kit")
    return write_kit_bundle(folder / "bundle", tiny_cnn(folder))


@pytest.fixture(scope="session")
def kit_engine(kit_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a kit that was built once; copied, never changed."""
    folder = tmp_path_factory.mktemp("kit_engine")
    device = create(folder / "device")
    script = kit_template / "model" / "build-engine.sh"
    done = subprocess.run(
        ["sh", script, "--output", folder / "out"],
        env={"PATH": f"{device.bin}:{os.environ['PATH']}"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "out"


@pytest.fixture(params=["dash", "busybox"])
def any_shell(request: pytest.FixtureRequest) -> str:
    """For tests that are to run with coreutils, and with busybox."""
    return str(request.param)


@pytest.fixture
def kit_device(
    request: pytest.FixtureRequest, require_tool: Callable[[str], str], kit_template: Path, tmp_path: Path
) -> KitDevice:
    """A stand-in device with a kit and nothing else than the programs that a kit may count on."""
    shell = request.getfixturevalue("any_shell") if "any_shell" in request.fixturenames else "dash"
    bundle = tmp_path / "net.edgebundle"
    shutil.copytree(kit_template, bundle)
    return KitDevice(
        stand_in=create(tmp_path / "device"),
        programs=link_programs(tmp_path / "programs", require_tool, busybox=shell == "busybox"),
        shell=(require_tool("busybox"), "sh") if shell == "busybox" else (require_tool("dash"),),
        bundle=bundle,
        output=tmp_path / "out",
    )


@pytest.fixture
def built_device(kit_device: KitDevice, kit_engine: Path) -> KitDevice:
    """A device that has built its engine already."""
    shutil.copytree(kit_engine, kit_device.output)
    return kit_device


def _sshd(require_tool: Callable[[str], str]) -> str:
    """sshd insists on being called by its full path, and lies where PATH may not look."""
    usual = Path("/usr/sbin/sshd")
    return str(usual) if usual.exists() else require_tool("sshd")
