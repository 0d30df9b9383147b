"""Devices for the tests of the TensorRT backend: a real sshd, and a real board where one is named."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.tensorrt.ssh_device import Keys, SshDevice


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
    try:
        yield device
    finally:
        device.stop()


@pytest.fixture
def real_jetson() -> str:
    """The host that EDGETOOL_JETSON names; for tests with the marker `jetson`."""
    host = os.environ.get("EDGETOOL_JETSON")
    if host is None:
        pytest.skip("EDGETOOL_JETSON names no board")
    return host


def _sshd(require_tool: Callable[[str], str]) -> str:
    """sshd insists on being called by its full path, and lies where PATH may not look."""
    usual = Path("/usr/sbin/sshd")
    return str(usual) if usual.exists() else require_tool("sshd")
