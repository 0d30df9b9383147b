"""What a device is: read by one script in one round trip, and never guessed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from edgetool.errors import DeviceError
from edgetool_tensorrt import knowledge
from edgetool_tensorrt.device import Device
from edgetool_tensorrt.options import TensorRtOptions
from edgetool_tensorrt.ssh.conditions import read_conditions
from edgetool_tensorrt.ssh.connection import Connection
from edgetool_tensorrt.ssh.lines import read_lines
from edgetool_tensorrt.ssh.scripts import script
from edgetool_tensorrt.version import Version

_L4T = re.compile(r"# R(\d+) \(release\), REVISION: ([\d.]+)")
_UNKNOWN = ("", "[N/A]", "N/A", "[Not Supported]", "[Unknown Error]")


def probe(connection: Connection, options: TensorRtOptions) -> Device:
    """Describe the device, changing nothing there.

    Args:
        connection: to it.
        options: may name its trtexec, which is searched for otherwise, the newest one counting; and the folder for
            edgetool's files there, whose disk is measured.

    Raises:
        DeviceError: `device-command-failed`; as `Connection.run`.
    """
    done = connection.must(
        "describing the device", script("probe", "conditions"), options.device_folder, options.trtexec or ""
    )
    return describe(done.text, where=str(connection.host))


def describe(text: str, *, where: str) -> Device:
    """The device behind the lines of the probe's script. Raises DeviceError `device-command-failed`."""
    lines = read_lines(text)
    if not lines.first("arch"):
        raise DeviceError(
            "device-command-failed",
            "the device did not describe itself",
            where=where,
            hint=f"log in with `ssh {where}` and look: a POSIX shell with the usual small programs is needed",
        )
    conditions = read_conditions(lines)
    trtexec = _newest(lines.all("trtexec"))
    soc = _soc(lines.first("compatible"))
    name, capability, driver = _smi(lines.first("smi"))
    packages = dict(lines.pairs("package"))
    l4t = _l4t(lines.first("release"), packages.get("nvidia-l4t-core"))
    installed = _versions(version for package, version in packages.items() if package.startswith("libnvinfer"))
    memory = {key.rstrip(":"): int(value) * 1024 for key, value in lines.pairs("memory") if value.isdigit()}
    return Device(
        arch=lines.first("arch") or "",
        model=lines.first("model"),
        soc=soc,
        sm=(knowledge.sm_of(soc) if soc else None) or _sm(capability),
        gpu=None if soc else name,
        l4t=l4t,
        jetpack=(knowledge.jetpack_of(l4t) if l4t else None) or _release(packages.get("nvidia-jetpack")),
        os=lines.first("os"),
        libc=lines.first("libc"),
        driver=driver,
        cuda=lines.first("cuda"),
        trtexec=trtexec.path,
        tensorrt=_completed(trtexec.version, installed),
        other_tensorrt=_others(trtexec, (*installed, *_versions(lines.all("python")))),
        memory_total=memory.get("MemTotal", 0),
        memory_available=memory.get("MemAvailable", 0),
        swap=memory.get("SwapTotal", 0),
        disk_free=int(lines.first("disk") or 0) * 1024,
        power_mode=conditions.power_mode,
        temperature=conditions.temperature,
        clocks=conditions.clocks,
        programs=frozenset(lines.all("program")),
    )


@dataclass(frozen=True, slots=True)
class _Trtexec:
    """The program that counts, and the versions of others."""

    path: str | None = None
    version: Version | None = None
    others: tuple[Version, ...] = ()


def _newest(found: Iterable[str]) -> _Trtexec:
    """Of `BANNER PATH`; one that tells no version comes last."""
    programs: list[tuple[Version | None, str]] = []
    for line in found:
        words = line.split(None, 1)
        if len(words) == 2 and re.fullmatch(r"v\d{4,6}", words[0]):
            programs.append((Version.of_banner(words[0]), words[1]))
        else:
            programs.append((None, line))
    if not programs:
        return _Trtexec()
    programs.sort(key=lambda program: program[0] or Version(0, 0), reverse=True)
    version, path = programs[0]
    return _Trtexec(path, version, tuple(other for other, _ in programs[1:] if other))


def _completed(banner: Version | None, installed: Iterable[Version]) -> Version | None:
    """The banner's version with the fourth number, where a package of the same release tells it."""
    return next((version for version in installed if _same_release(version, banner)), banner)


def _others(trtexec: _Trtexec, found: Iterable[Version]) -> tuple[str, ...]:
    versions = {v for v in (*trtexec.others, *found) if not _same_release(v, trtexec.version)}
    return tuple(str(version) for version in sorted(versions))


def _same_release(one: Version, other: Version | None) -> bool:
    return other is not None and (one.major, one.minor, one.patch) == (other.major, other.minor, other.patch)


def _versions(texts: Iterable[str]) -> tuple[Version, ...]:
    return tuple(Version.parse(text) for text in texts if re.match(r"\d+\.\d+", text))


def _soc(compatible: str | None) -> str | None:
    """`tegra234` of `nvidia,p3767-0003 nvidia,tegra234`: the chip comes last."""
    chips = [word for word in (compatible or "").split() if word.startswith("nvidia,tegra")]
    return chips[-1].removeprefix("nvidia,") if chips else None


def _l4t(release: str | None, package: str | None) -> str | None:
    """`36.4.3`, of the board's release file or of its package's version `36.4.3-2025...`."""
    found = _L4T.search(release or "")
    if found:
        return f"{found[1]}.{found[2]}"
    return _release(package)


def _release(version: str | None) -> str | None:
    """A package's version without what the packager appended."""
    found = re.match(r"[\d.]+", version or "")
    return found[0].rstrip(".") if found else None


def _smi(line: str | None) -> tuple[str | None, str | None, str | None]:
    """Name, compute capability and driver, of the fields that the scripts ask nvidia-smi for."""
    said = [None if value.strip() in _UNKNOWN else value.strip() for value in (line or "").split(",")]
    name, capability, driver = (*said, None, None, None)[:3]
    return name, capability, driver


def _sm(capability: str | None) -> int | None:
    found = re.fullmatch(r"(\d+)\.(\d)", capability or "")
    return int(found[1]) * 10 + int(found[2]) if found else None
