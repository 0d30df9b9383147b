"""What asking a device about itself costs: the probe over ssh against `ssh DEVICE true`, on a loopback server.

The device is the stand-in of the tests; its `trtexec` and `nvidia-smi` take 0.05 s each. Needs openssh-server.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.timing import Ratio
from edgetool_tensorrt.options import TensorRtOptions
from edgetool_tensorrt.ssh import connect, probe

_ROUNDS = 15
_LIMIT = 1.0  # seconds, login included


def main() -> None:
    """Probe and `true` in turns, each with a login of its own."""
    from tests.tensorrt.ssh_device import ALIAS, Keys, SshDevice
    from tests.tensorrt.standin.device import create

    print("probe: describing a device over ssh, against `ssh DEVICE true`, each with a login of its own")
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if sshd is None:
        print("  NOT RUN: sshd is not installed")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "keys").mkdir()
        (folder / "device").mkdir()
        device = SshDevice(sshd, Keys.make(folder / "keys"), folder / "device")
        device.start()
        try:
            device.bin.rmdir()
            create(device.home)
            os.environ["EDGETOOL_SSH_CONFIG"] = str(device.config)
            _report(*_take_turns(ALIAS, device.config))
        finally:
            device.stop()


def _take_turns(host: str, config: Path) -> tuple[list[float], list[float]]:
    probes, trues = [], []
    for number in range(_ROUNDS + 1):
        started = time.perf_counter()
        with connect(host, timeout=15) as connection:
            probe(connection, TensorRtOptions())
        middle = time.perf_counter()
        subprocess.run(["ssh", "-F", str(config), host, "true"], check=True, stdin=subprocess.DEVNULL)
        if number:
            probes.append(middle - started)
            trues.append(time.perf_counter() - middle)
    return probes, trues


def _report(probes: list[float], trues: list[float]) -> None:
    median = statistics.median(probes)
    print(f"  ssh DEVICE true  {statistics.median(trues):.3f} s")
    print(
        f"  probe            {median:.3f} s ({min(probes):.3f} .. {max(probes):.3f})  = {Ratio.of(probes, trues)}"
        f"  required <= {_LIMIT:g} s: {'held' if median <= _LIMIT else 'MISSED'}"
    )
