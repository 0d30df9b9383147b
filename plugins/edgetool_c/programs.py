"""The programs that compile and emulate: which are here, and their versions."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from edgetool_c.boards import Board

EMULATOR = "qemu-system-arm"

_PACKAGES = {
    "arm-none-eabi-gcc": "apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi",
    EMULATOR: "apt-get install qemu-system-arm",
    "gcc": "apt-get install gcc libc6-dev",
}
_VERSION = re.compile(r"(\d+\.\d+(?:\.\d+)?)")
_PATIENCE = 20.0


def how_to_get(program: str) -> str:
    """The command that installs a program on Debian and Ubuntu."""
    return _PACKAGES[program]


def missing(board: Board) -> str | None:
    """The first program that building for a board and running on it needs and that is not here."""
    needed = (board.compiler, EMULATOR) if board.machine else (board.compiler,)
    return next((name for name in needed if shutil.which(name) is None), None)


def version_of(program: str) -> str | None:
    """What a program says of itself; None when it is not here or does not start."""
    found = shutil.which(program)
    if found is None:
        return None
    try:
        answer = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=_PATIENCE, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.search(answer.stdout.partition("\n")[0].rpartition(")")[2]) or _VERSION.search(answer.stdout)
    return match[1] if match else None


def size_tool(board: Board) -> str:
    """Path or name of binutils' `size` for a board."""
    name = board.compiler.removesuffix("gcc") + "size"
    return shutil.which(name) or str(Path(name))
