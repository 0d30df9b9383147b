"""Where an engine can be tried out: boards that an emulator knows, and this computer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

BoardName: TypeAlias = Literal["mps2-an386", "mps2-an385", "mps2-an500", "host"]

_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Board:
    """What runs an image.

    Attributes:
        name: as `board` in targets.toml.
        cpu: its processor, for people.
        flags: that make the compiler write for this processor.
        flash, ram: bytes; an image that needs more does not link.
        machine: the emulator's name for it; None for this computer.
    """

    name: BoardName
    cpu: str
    flags: tuple[str, ...]
    flash: int
    ram: int
    machine: str | None

    @property
    def compiler(self) -> str:
        """The program that compiles for it."""
        return "arm-none-eabi-gcc" if self.machine else "gcc"


def _mps2(name: BoardName, cpu: str, *float_flags: str) -> Board:
    # Memory map of the MPS2 images with a Cortex-M3, M4 or M7: Arm application notes AN385, AN386 and AN500.
    flags = (f"-mcpu={cpu}", "-mthumb", *float_flags)
    return Board(name, cpu, flags, flash=4 * _MIB, ram=4 * _MIB, machine=name)


BOARDS: dict[BoardName, Board] = {
    board.name: board
    for board in (
        _mps2("mps2-an385", "cortex-m3", "-mfloat-abi=soft"),
        _mps2("mps2-an386", "cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"),
        _mps2("mps2-an500", "cortex-m7", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard"),
        Board("host", "this computer", (), flash=64 * _MIB, ram=64 * _MIB, machine=None),
    )
}
