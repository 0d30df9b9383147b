"""Whether this machine can build and run with the options, found out without loading OpenVINO where that is enough."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from edgetool.backends.base import Availability
from edgetool_openvino.device import BUNDLED, family
from edgetool_openvino.options import OpenVinoOptions

_DEVICE_FILES = {"GPU": ("/dev/dri", "renderD*"), "NPU": ("/dev/accel", "accel*")}
"""Where the kernel shows that such a device is there."""
_PATIENCE = 60.0


def availability(options: OpenVinoOptions) -> Availability:
    """What `probe` answers; for the CPU nothing is imported or started."""
    version = _version()
    if version is None or importlib.util.find_spec("openvino") is None:
        return Availability(
            can_build=False,
            can_run=False,
            version=None,
            why_not="OpenVINO is not installed",
            fix="pip install 'edgetool[openvino]'",
        )
    if options.stand_in is not None:
        return Availability(can_build=True, can_run=True, version=version, stand_in=options.stand_in)
    why_not = next(filter(None, (_absence(name, options) for name in options.wanted.families)), None)
    needs_device = options.artifact == "blob"
    return Availability(
        can_build=why_not is None or not needs_device,
        can_run=why_not is None,
        version=version,
        why_not=why_not,
        fix=why_not and _fix(options, needs_device=needs_device),
    )


def _absence(name: str, options: OpenVinoOptions) -> str | None:
    """Why a device cannot be used here; None when it is here."""
    if name == "CPU":
        return None
    if name not in BUNDLED:
        return _plugin_absence(name, options.plugin_library if name == options.plugin_name else None)
    folder, pattern = _DEVICE_FILES[name]
    if not any(Path(folder).glob(pattern)):
        return f"this machine has no {name}: there is no {folder}/{pattern}"
    return _asked(name, ())


def _plugin_absence(name: str, library: str | None) -> str | None:
    if library is None:
        return f"no plugin for {name} is named, and OpenVINO brings none"
    if not Path(library).is_file():
        return f"the plugin of {name} is not on this machine: {library}"
    return _asked(name, (name, library))


def _asked(name: str, plugin: Sequence[str]) -> str | None:
    """Ask OpenVINO in a process of its own: a vendor's driver may crash, and must not take us with it."""
    try:
        answer = subprocess.run(
            [sys.executable, "-P", "-m", "edgetool_openvino.present", *plugin],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=True,
        )
        present = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return f"asking OpenVINO for {name} failed: its driver or plugin does not load"
    if name not in {family(device) for device in present}:
        return f"the driver of {name} is not installed or does not see the device"
    return None


def _fix(options: OpenVinoOptions, *, needs_device: bool) -> str:
    accelerator = options.wanted.accelerator
    ways = f"run this on the machine that has the {accelerator}, or set stand_in = "
    ways += f"'{accelerator}_CPU'" if options.wanted.mode == "HETERO" else "'CPU'"
    return ways + (", or artifact = 'ir'" if needs_device else "") + " in [targets.NAME.openvino]"


def _version() -> str | None:
    try:
        return importlib.metadata.version("openvino")
    except importlib.metadata.PackageNotFoundError:
        return None
