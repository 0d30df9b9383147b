"""A folder that behaves like a device with TensorRT: the tests' side of it.

The programs in `bin/` find their device by their own place and their interpreter by the file `python`, so nothing needs
to be in the environment of whoever starts them. They build with TensorRT-RTX and compute with ONNX Runtime.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from edgetool_tensorrt.trtexec import listed, taken
from edgetool_tensorrt.version import Version

ROOT = Path(__file__).parents[3]
WRAPPER = """#!/bin/sh
device=$(cd "$(dirname "$0")/.." && pwd) || exit 1
STANDIN_DEVICE=$device PYTHONPATH='{root}' exec "$(cat "$device/python")" {flags}-m tests.tensorrt.standin.{module} "$@"
"""


@dataclass(frozen=True)
class StandIn:
    """A stand-in device.

    Attributes:
        folder: holds all of it.
    """

    folder: Path

    @property
    def bin(self) -> Path:
        """To be put first in the PATH of whoever plays the device."""
        return self.folder / "bin"

    def set_faults(self, **faults: bool | int | float | str) -> None:
        """Replace the faults; without arguments the device is sound. See `faults.Faults` for what there is."""
        text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in faults.items())
        (self.folder / "faults.toml").write_text(text)

    def calls(self) -> list[tuple[str, ...]]:
        """Command lines of all programs so far, oldest first."""
        log = self.folder / "calls.jsonl"
        return [tuple(json.loads(line)) for line in log.read_text().splitlines()] if log.exists() else []


def create(
    folder: Path,
    *,
    tensorrt: str = "10.3.0",
    sm: int = 86,
    gpu: str = "NVIDIA Stand-In",
    memory: int = 8 << 30,
    driver: str = "540.4.0",
    python: str = sys.executable,
) -> StandIn:
    """Write a device into a folder.

    Args:
        folder: new.
        tensorrt: version of its trtexec: of the banner, of the options it takes, of its formats.
        sm: compute capability times ten, of those that TensorRT-RTX serves.
        gpu: name that nvidia-smi tells.
        memory: bytes.
        driver: version.
        python: interpreter with tensorrt_rtx and onnxruntime.
    """
    version = Version.parse(tensorrt)
    facts = {
        "tensorrt": [version.major, version.minor, version.patch],
        "build": version.build,
        "sm": sm,
        "gpu": gpu,
        "memory": memory,
        "driver": driver,
        "taken": sorted(taken(version)),
        "listed": sorted(listed(version)),
    }
    (folder / "bin").mkdir(parents=True)
    (folder / "state").mkdir()
    (folder / "python").write_text(f"{python}\n")
    (folder / "device.json").write_text(json.dumps(facts, indent=2))
    for program, module, flags in (("trtexec", "trtexec", ""), ("nvidia-smi", "nvidia_smi", "-S ")):
        path = folder / "bin" / program
        path.write_text(WRAPPER.format(root=ROOT, module=module, flags=flags))
        path.chmod(0o755)
    return StandIn(folder)
