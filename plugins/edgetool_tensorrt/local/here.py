"""This machine, described by the same script that describes a device elsewhere."""

from __future__ import annotations

import dataclasses
import re
import subprocess

from edgetool_tensorrt.device import Device
from edgetool_tensorrt.local.toolkit import installed_version
from edgetool_tensorrt.options import TensorRtOptions
from edgetool_tensorrt.ssh.probe import describe
from edgetool_tensorrt.ssh.scripts import script
from edgetool_tensorrt.version import Version

_PATIENCE = 30.0  # seconds; a driver that sleeps takes a while
_UNFIT_FOR_FILES = re.compile(r"[^A-Za-z0-9._-]+")


def this_machine(options: TensorRtOptions) -> Device:
    """What is here, with the TensorRT that Python would load instead of the one that trtexec belongs to.

    Raises:
        DeviceError: `device-command-failed`: it cannot be described.
    """
    command = ["sh", "-c", script("probe", "conditions"), "edgetool", options.device_folder, options.trtexec or ""]
    try:
        text = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        text = ""
    found = describe(text, where="this machine")
    version = installed_version()
    return dataclasses.replace(found, tensorrt=Version.parse(version)) if version else found


def timing_name(device: Device, version: Version) -> str:
    """Name for a machine's timings; an Orin NX and an AGX Orin share a compute capability, and not their timings."""
    words = (str(version), f"sm{device.sm}", device.model or device.gpu or device.arch)
    return "-".join(_UNFIT_FOR_FILES.sub("_", word) for word in words)
