"""Releases of JetPack and the software that they bring."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from edgetool_tensorrt.knowledge.chips import chips
from edgetool_tensorrt.knowledge.opsets import max_opset
from edgetool_tensorrt.knowledge.tables import read_table
from edgetool_tensorrt.version import Version


@dataclass(frozen=True, slots=True)
class JetPack:
    """One release.

    Attributes:
        name: `6.2.1`.
        l4t: the releases of Jetson Linux that belong to it.
        chips: that it runs on.
        tensorrt, cuda, python: versions that it installs.
    """

    name: str
    l4t: tuple[str, ...]
    chips: tuple[str, ...]
    tensorrt: Version
    cuda: str
    python: str

    @property
    def sms(self) -> frozenset[int]:
        """Compute capabilities of its chips."""
        return frozenset(chip.sm for chip in chips() if chip.name in self.chips)

    @property
    def max_opset(self) -> int | None:
        """Newest ONNX opset that its TensorRT reads."""
        return max_opset(self.tensorrt)


@cache
def jetpacks() -> tuple[JetPack, ...]:
    """All releases, oldest first."""
    found: list[JetPack] = []
    for series in read_table("jetpacks")["series"]:
        releases: dict[str, list[str]] = {}
        for l4t, name in series["releases"].items():
            releases.setdefault(name, []).append(l4t)
        found += [
            JetPack(
                name=name,
                l4t=tuple(l4t),
                chips=tuple(series["chips"]),
                tensorrt=Version.parse(series["tensorrt"]),
                cuda=series["cuda"],
                python=series["python"],
            )
            for name, l4t in releases.items()
        ]
    return tuple(found)


def jetpack(name: str) -> JetPack | None:
    """A release by its name, `6.2` or `6.2.0`; None for one that is not known."""
    return next((row for row in jetpacks() if _padded(row.name) == _padded(name)), None)


def jetpack_of(l4t: str) -> str | None:
    """Name of the release that a Jetson Linux belongs to, `36.4.3` -> `6.2`; None for one that is not known.

    A last number may be left out where it is zero: `/etc/nv_tegra_release` writes 36.3 as well as 36.3.0.
    """
    return next((row.name for row in jetpacks() if _padded(l4t) in map(_padded, row.l4t)), None)


def _padded(release: str) -> tuple[str, ...]:
    parts = release.strip().lower().removeprefix("r").split(".")
    return (*parts, *("0",) * (3 - len(parts)))
