"""Whether engines can be built and run with the installed TensorRT, found out without loading it."""

from __future__ import annotations

import importlib.util

from edgetool.backends import Availability, Site
from edgetool.errors import EdgetoolError
from edgetool_tensorrt.device import Device
from edgetool_tensorrt.local.here import this_machine
from edgetool_tensorrt.local.toolkit import MODULE, OLDEST, installed_version
from edgetool_tensorrt.options import TensorRtOptions
from edgetool_tensorrt.ssh.compare import differences
from edgetool_tensorrt.version import Version

_INSTALL = "pip install 'edgetool[tensorrt]', or on a board the package python3-libnvinfer of its JetPack"


def availability(options: TensorRtOptions, site: Site) -> Availability:
    """What `probe` answers: TensorRT builds and runs on the GPU that is here, and for no other."""
    version = installed_version()
    if importlib.util.find_spec(MODULE) is None:
        return Availability(False, False, None, "TensorRT is not installed for this Python", _INSTALL)
    if version is not None and Version.parse(version).release() < OLDEST:
        return Availability(
            False,
            False,
            version,
            f"TensorRT {version} is older than {OLDEST[0]}.{OLDEST[1]}, the oldest that is driven from Python",
            'kind = "ssh" with host = "localhost" in [targets.NAME.builder]: its trtexec serves',
        )
    try:
        device = this_machine(options)
    except EdgetoolError as error:
        return Availability(False, False, version, str(error), error.hint)
    return _answer(device, site, version)


def _answer(device: Device, site: Site, version: str | None) -> Availability:
    if device.sm is None:
        return Availability(
            False,
            False,
            version,
            "no NVIDIA GPU is here, and TensorRT builds on the GPU that the engine is for",
            'name the device: `host` in [targets.NAME.builder]; or leave the build to it: kind = "kit"',
        )
    if found := list(differences(device, site.facts)):
        return Availability(
            False,
            False,
            version,
            f"this machine is not the one that the target describes: {'; '.join(found)}",
            "name the device that the target means: `host` in [targets.NAME.builder]; or correct [targets.NAME.facts]",
            device_error="device-not-as-described",
        )
    runs = importlib.util.find_spec("cuda") is not None
    return Availability(
        can_build=True,
        can_run=runs,
        version=version,
        why_not=None if runs else "cuda-python is not installed, which running an engine needs",
        fix=None if runs else "pip install cuda-python",
        device=device.facts(),
    )
