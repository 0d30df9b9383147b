"""A device with the Mender client, whose folders in /etc and /usr are seen by the client alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

_MODULES, _CONFIGURATION = "/usr/share/mender/modules/v3", "/etc/mender"


@dataclass(frozen=True)
class MenderDevice:
    """One device.

    Attributes:
        folder: `etc/`, `modules/` and `data/` of the client.
    """

    folder: Path

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """`mender ARGUMENTS`."""
        script = 'mount --bind "$1/modules" "$2" && mount --bind "$1/etc" "$3" && shift 3 && exec mender "$@"'
        places = [str(self.folder), _MODULES, _CONFIGURATION]
        options = ["--no-syslog", "--data", str(self.folder / "data")]
        return subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, "sh", *places, *options, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def provides(self) -> dict[str, str]:
        """What the client says is installed."""
        lines = self.run("show-provides").stdout.splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)


def make_device(folder: Path, public_key: Path, require: Callable[[str], str], *, kind: str = "board") -> MenderDevice:
    """A device of a type that trusts one key and has the update module."""
    require("mender")
    require("unshare")
    for path in (_MODULES, _CONFIGURATION):
        if subprocess.run(["unshare", "--mount", "test", "-d", path], capture_output=True, check=False).returncode:
            pytest.skip(f"no mount namespace, or no {path}")
    for name in ("etc", "modules", "data"):
        (folder / name).mkdir(parents=True)
    module = subprocess.run([sys.executable, "-m", "edgetool_firmware.mender"], capture_output=True, check=True)
    (folder / "modules" / "edgetool-model").write_bytes(module.stdout)
    (folder / "modules" / "edgetool-model").chmod(0o755)
    (folder / "etc" / "mender.conf").write_text(json.dumps({"ArtifactVerifyKey": str(public_key)}))
    (folder / "etc" / "artifact_info").write_text("artifact_name=factory\n")
    (folder / "data" / "device_type").write_text(f"device_type={kind}\n")
    return MenderDevice(folder)
