"""A device with RAUC's service on a bus of its own, and two slots that are files."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_BUS = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
  </policy>
</busconfig>
"""

_SYSTEM = """\
[system]
compatible=board
bootloader=noop
mountprefix={folder}/mnt
statusfile={folder}/status

[keyring]
path={root}

[slot.models.0]
device={folder}/slot0
type=raw

[slot.models.1]
device={folder}/slot1
type=raw
"""

_PATIENCE = 10  # seconds until the bus and the service are there


@dataclass(frozen=True)
class RaucDevice:
    """One device.

    Attributes:
        folder: slots, status, mount points; `etc/` stands for /etc/edgetool, empty at first.
        bus: address.
    """

    folder: Path
    bus: str

    def install(self, path: Path) -> subprocess.CompletedProcess[str]:
        """`rauc install`."""
        return subprocess.run(
            ["rauc", "install", str(path)],
            env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": self.bus},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def log(self) -> str:
        """What the service has said."""
        return (self.folder / "log").read_text()


@contextmanager
def running_device(root: Path, require: Callable[[str], str]) -> Iterator[RaucDevice]:
    """A device that trusts one certificate; the service ends with the block."""
    bus_program, rauc = require("dbus-daemon"), require("rauc")
    folder = Path(tempfile.mkdtemp(prefix="rauc"))  # short: a socket's path has at most 107 bytes
    running: list[subprocess.Popen[bytes]] = []
    try:
        (folder / "mnt").mkdir()
        (folder / "etc").mkdir()
        for name in ("slot0", "slot1"):
            with (folder / name).open("wb") as file:
                file.truncate(1 << 20)
        socket = folder / "bus"
        (folder / "bus.conf").write_text(_BUS.format(socket=socket))
        (folder / "system.conf").write_text(_SYSTEM.format(folder=folder, root=root))
        address = f"unix:path={socket}"
        running.append(
            subprocess.Popen(
                [bus_program, f"--config-file={folder / 'bus.conf'}", "--nofork"], stderr=subprocess.DEVNULL
            )
        )
        _wait(socket.exists, "the bus")
        device = RaucDevice(folder, address)
        with (folder / "log").open("wb") as log:
            command = [rauc, "-c", str(folder / "system.conf"), "--override-boot-slot=_external_", "service"]
            environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": address, "EDGETOOL_ETC": str(folder / "etc")}
            running.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment))
        _wait(lambda: _answers(address), "the service")
        yield device
    finally:
        for process in reversed(running):
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=10)
        shutil.rmtree(folder)


def _answers(address: str) -> bool:
    command = ["rauc", "status", "--output-format=json"]
    environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": address}
    return subprocess.run(command, env=environment, capture_output=True, timeout=10, check=False).returncode == 0


def _wait(ready: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + _PATIENCE
    while not ready():
        assert time.monotonic() < end, f"{what} did not start"
        time.sleep(0.05)
