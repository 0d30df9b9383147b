"""Chips of Jetson modules and the compute capabilities of their GPUs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from edgetool_tensorrt.knowledge.tables import read_table


@dataclass(frozen=True, slots=True)
class Chip:
    """One chip.

    Attributes:
        name: as the device tree names it: `tegra234`.
        sm: compute capability times ten.
        modules: families of modules that carry it.
        aliases: other names that device trees use.
        sm_aliases: other numbers that CUDA releases have used for the same GPU.
    """

    name: str
    sm: int
    modules: str
    aliases: tuple[str, ...] = ()
    sm_aliases: tuple[int, ...] = ()


@cache
def chips() -> tuple[Chip, ...]:
    """All chips, oldest first."""
    return tuple(
        Chip(name, row["sm"], row["modules"], tuple(row.get("aliases", ())), tuple(row.get("sm_aliases", ())))
        for name, row in read_table("chips").items()
    )


def sm_of(soc: str) -> int | None:
    """Compute capability times ten of a chip, `tegra234` or `nvidia,tegra234`; None for one that is not known."""
    name = soc.rpartition(",")[2].strip().lower()
    return next((chip.sm for chip in chips() if name in (chip.name, *chip.aliases)), None)


def canonical_sm(sm: int) -> int:
    """The number that the tables use: 110 for Thor, which CUDA 12.8 calls 101."""
    return next((chip.sm for chip in chips() if sm in chip.sm_aliases), sm)
