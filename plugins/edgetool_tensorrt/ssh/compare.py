"""Whether a device is the one that its target describes, before anything is copied to it."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from edgetool.artifact import Facts
from edgetool.backends import Site
from edgetool.errors import DeviceError
from edgetool_tensorrt import knowledge
from edgetool_tensorrt.device import Device
from edgetool_tensorrt.options import TensorRtOptions
from edgetool_tensorrt.ssh.refusals import device_disk_full
from edgetool_tensorrt.version import Version

_EXACT = ("arch", "soc")
_TOLD_BY_BANNER = 3  # numbers of a version; a package may tell the fourth
_NEEDED = MappingProxyType({"setsid": "util-linux", "sha256sum": "coreutils", "tar": "tar"})
_TIMES = 2  # the network, and an engine of its size


def compare(device: Device, site: Site, options: TensorRtOptions) -> None:
    """Refuse a device that engines for this target cannot be built on, or not safely.

    Raises:
        DeviceError: `device-not-as-described`, naming every difference; `device-without-trtexec`,
            `two-tensorrt-versions`, `device-lacks-program`.
    """
    where = str(site.host)
    if found := list(differences(device, site.facts)):
        raise DeviceError(
            "device-not-as-described",
            "; ".join(found),
            where=where,
            hint="connect the board that the target means, or correct [targets.NAME.facts]",
        )
    if device.trtexec is None or device.tensorrt is None:
        what = f"{device.trtexec} does not tell its version" if device.trtexec else "the device has no trtexec"
        raise DeviceError(
            "device-without-trtexec",
            what,
            where=where,
            hint="install it with `sudo apt install tensorrt` (on a Jetson: nvidia-jetpack), or say where it is: "
            "trtexec in [targets.NAME.tensorrt]",
        )
    if device.other_tensorrt and options.trtexec is None:
        raise DeviceError(
            "two-tensorrt-versions",
            f"the device has TensorRT {device.tensorrt} ({device.trtexec}) and {', '.join(device.other_tensorrt)}: an "
            "engine fits only the one that built it",
            where=where,
            hint=f'remove the others, or choose: trtexec = "{device.trtexec}" in [targets.NAME.tensorrt]',
        )
    if missing := [program for program in _NEEDED if program not in device.programs]:
        raise DeviceError(
            "device-lacks-program",
            f"the device has no {', '.join(missing)}",
            where=where,
            hint=f"install there: {', '.join(_NEEDED[program] for program in missing)}",
        )


def differences(device: Device, facts: Facts) -> Iterator[str]:
    """What the target says and the device contradicts, or cannot confirm; a sentence each."""
    found = device.facts()
    for name in _EXACT:
        if name in facts and str(facts[name]) != str(found.get(name)):
            yield _differs(name, facts[name], found.get(name))
    sm = facts.get("sm")
    if isinstance(sm, int) and (device.sm is None or knowledge.canonical_sm(sm) != knowledge.canonical_sm(device.sm)):
        yield _differs("sm", sm, device.sm)
    for name, known in (("jetpack", None), ("tensorrt", _numbers_known(device.tensorrt))):
        if name in facts and not _is_of(str(found.get(name, "")), ".".join(str(facts[name]).split(".")[:known])):
            yield _differs(name, facts[name], found.get(name))


def require_room(device: Device, *, needed: int, where: str) -> str | None:
    """Check disk and memory for a network of `needed` bytes; a sentence where memory looks scarce.

    Raises:
        HostError: `device-disk-full`.
    """
    if device.disk_free < _TIMES * needed:
        raise device_disk_full(where, doing=f"sending a network of {needed >> 20} MiB")
    available = device.memory_available + device.swap
    if available < _TIMES * needed:
        return f"{where} has {available >> 20} MiB of memory left for a network of {needed >> 20} MiB: it may run out"
    return None


def _numbers_known(version: Version | None) -> int | None:
    return None if version is None or version.build else _TOLD_BY_BANNER


def _differs(name: str, said: object, found: object) -> str:
    return f"{name} is {'unknown' if found is None else found} on the device, and {said} in the target"


def _is_of(found: str, said: str) -> bool:
    """Whether a release is of the series that was named: `6.2.1` is of `6.2`, and so is `6.2`."""
    numbers, wanted = found.split("."), said.split(".")
    numbers += ["0"] * (len(wanted) - len(numbers))
    return bool(found) and numbers[: len(wanted)] == wanted
