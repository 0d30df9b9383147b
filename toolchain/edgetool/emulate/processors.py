"""Processors as data: what each can do, and what emulators call it."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pydantic

from edgetool.errors import ConfigError

_FILE = Path(__file__).with_name("processors.toml")


@dataclass(frozen=True, slots=True)
class CpuInfo:
    """What Linux says of an ARM core in /proc/cpuinfo, in its spelling.

    Attributes:
        variant, part: of the MIDR_EL1 register; the implementer of all is Arm.
        features: instruction sets, separated by spaces.
    """

    variant: str
    part: str
    features: str

    def text(self) -> str:
        """The file, of one core."""
        return (
            f"processor\t: 0\nFeatures\t: {self.features}\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
            f"CPU variant\t: {self.variant}\nCPU part\t: {self.part}\nCPU revision\t: 0\n"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """A processor to try engines on.

    Attributes:
        name: as users name it.
        description: for people.
        arch: as `uname -m` says there.
        isa: instruction sets that decide a runtime's kernels, as /proc/cpuinfo spells them.
        qemu: its name for qemu's `-cpu`; None where qemu lacks some of its instructions.
        onednn: its newest instruction sets, as oneDNN's dispatcher spells them; None where it is no x86.
        level: its name as a level of the sweep; None where it is none.
        cpuinfo: for runtimes that read /proc/cpuinfo, which qemu's user mode leaves as the host has it.
        source: of the values.
    """

    name: str
    description: str
    arch: str
    isa: tuple[str, ...]
    source: str
    qemu: str | None = None
    onednn: str | None = None
    level: str | None = None
    cpuinfo: CpuInfo | None = None


def processors() -> tuple[Processor, ...]:
    """All that are known, in the order of the file: levels of the sweep from the oldest to the newest."""
    table = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return pydantic.TypeAdapter(tuple[Processor, ...]).validate_python(
        [{"name": name, **values} for name, values in table.items()]
    )


def named(names: Sequence[str]) -> tuple[Processor, ...]:
    """The processors of these names, each once, in this order; a name may hold several, separated by commas.

    Raises:
        ConfigError: `unknown-processor`.
    """
    known = {row.name: row for row in processors()}
    asked = dict.fromkeys(word.strip().lower() for name in names for word in name.split(","))
    for name in asked:
        if name not in known:
            raise ConfigError(
                "unknown-processor",
                f"there is no processor {name!r}",
                where="--emulate",
                hint=f"known are {', '.join(known)}",
            )
    return tuple(known[name] for name in asked)


def levels() -> tuple[Processor, ...]:
    """Those that a sweep over instruction sets stops at, the oldest first."""
    return tuple(row for row in processors() if row.level is not None)
