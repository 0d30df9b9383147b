"""What a probe finds on a device, without changing anything there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgetool.artifact import Facts
from edgetool_tensorrt.version import Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device, as it describes itself; None, empty or 0 where it does not say.

    Attributes:
        arch: as `uname -m` says.
        model: of the board, from its device tree.
        soc: chip, `tegra234`.
        sm: compute capability times ten.
        gpu: name of a discrete GPU.
        l4t, jetpack: release of the board's software.
        os, libc: distribution and C library.
        driver, cuda: versions.
        trtexec: absolute path of the program that builds and runs engines.
        tensorrt: version in that program's banner.
        other_tensorrt: further versions found: packages, Python, another trtexec.
        memory_total, memory_available, swap, disk_free: bytes; disk where edgetool keeps its files there.
        power_mode: as `nvpmodel -q` names it.
        temperature: hottest zone, degrees Celsius.
        clocks: Hz by clock.
        programs: which of the helpers (`flock`, `setsid`, `nice`, `timeout`, `sha256sum`) are there.
    """

    arch: str
    model: str | None = None
    soc: str | None = None
    sm: int | None = None
    gpu: str | None = None
    l4t: str | None = None
    jetpack: str | None = None
    os: str | None = None
    libc: str | None = None
    driver: str | None = None
    cuda: str | None = None
    trtexec: str | None = None
    tensorrt: Version | None = None
    other_tensorrt: tuple[str, ...] = ()
    memory_total: int = 0
    memory_available: int = 0
    swap: int = 0
    disk_free: int = 0
    power_mode: str | None = None
    temperature: float | None = None
    clocks: Mapping[str, int] = field(default_factory=dict)
    programs: frozenset[str] = frozenset()

    def facts(self) -> Facts:
        """What of it decides an engine: the compatibility key of what is built there, and part of the cache key."""
        found = {
            "arch": self.arch,
            "sm": self.sm,
            "soc": self.soc,
            "gpu": self.gpu,
            "l4t": self.l4t,
            "jetpack": self.jetpack,
            "driver": self.driver,
            "tensorrt": str(self.tensorrt) if self.tensorrt else None,
        }
        return {name: value for name, value in found.items() if value is not None}
