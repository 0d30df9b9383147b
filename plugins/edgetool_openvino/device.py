"""OpenVINO's device strings: `CPU`, `GPU.1`, `AUTO:GPU,CPU`, `HETERO:FPGA,CPU`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Self

_NAME = r"[A-Za-z][A-Za-z0-9_-]*"
_DEVICE = re.compile(rf"{_NAME}(\.[A-Za-z0-9]+)?")
_MODES = ("AUTO", "HETERO")

BUNDLED = ("CPU", "GPU", "NPU")
"""Devices whose plugins come with OpenVINO itself."""


@dataclass(frozen=True, slots=True)
class Device:
    """Which devices execute an engine, and who shares the work between them.

    Attributes:
        members: in order of preference; empty for a bare `AUTO`. A member may carry an index: `GPU.1`.
        mode: `AUTO` takes one member at run time, `HETERO` splits the graph over all; None is one device alone.
    """

    members: tuple[str, ...]
    mode: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError where `text` is no device string."""
        head, colon, tail = text.partition(":")
        if head not in _MODES:
            if colon or not _DEVICE.fullmatch(text):
                raise ValueError(
                    f"{text!r} is no device; examples: CPU, GPU.1, NPU, AUTO, AUTO:GPU,CPU, HETERO:FPGA,CPU"
                )
            return cls((text,))
        members = tuple(part.strip() for part in tail.split(",")) if colon else ()
        if wrong := [part for part in members if not _DEVICE.fullmatch(part) or part in _MODES]:
            raise ValueError(f"{text!r}: {wrong[0]!r} is no device")
        if head == "HETERO" and len(members) < 2:
            raise ValueError(f"{text!r} splits nothing: name the accelerator, then who takes the rest: HETERO:FPGA,CPU")
        if len(set(members)) != len(members):
            raise ValueError(f"{text!r} names a device twice")
        return cls(members, head)

    def __str__(self) -> str:
        if self.mode is None:
            return self.members[0]
        return f"{self.mode}:{','.join(self.members)}" if self.members else self.mode

    @property
    def accelerator(self) -> str:
        """The device that nodes are meant to run on, without its index: the first of the list."""
        return family(self.members[0]) if self.members else "AUTO"

    @property
    def families(self) -> tuple[str, ...]:
        """The members without their indices."""
        return tuple(dict.fromkeys(family(member) for member in self.members))

    def substitute(self, name: str, stand_in: str) -> Device:
        """`HETERO:FPGA,CPU` with FPGA replaced by FPGA_CPU is `HETERO:FPGA_CPU,CPU`."""
        return replace(self, members=tuple(stand_in if family(one) == name else one for one in self.members))


def family(member: str) -> str:
    """`GPU.1` -> `GPU`."""
    return member.partition(".")[0]
