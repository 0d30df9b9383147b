"""The NVIDIA cards of this machine, asked of the driver's own program in a process of its own."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass

from edgetool.artifact import Facts

_QUERY = ("name", "compute_cap", "driver_version")
_CONDITIONS = ("clocks.sm", "clocks.mem", "temperature.gpu", "pstate", "power.limit")
_PATIENCE = 20.0  # seconds; a driver that sleeps takes a while


@dataclass(frozen=True, slots=True)
class Card:
    """One GPU of this machine.

    Attributes:
        name: as the driver calls it.
        sm: compute capability times ten.
        driver: the driver's version.
    """

    name: str
    sm: int
    driver: str


def find_cards() -> tuple[Card, ...]:
    """All of them, in the driver's order; none where there is no driver or it does not answer."""
    return tuple(
        Card(name, int(capability.replace(".", "")), driver)
        for name, capability, driver in _ask(_QUERY)
        if capability.replace(".", "").isdigit()
    )


def conditions() -> Facts:
    """What the first card's speed depends on at this moment: clocks, temperature, power; empty if unknown."""
    rows = _ask(_CONDITIONS)
    return dict(zip(_CONDITIONS, rows[0], strict=True)) if rows else {}


def _ask(fields: tuple[str, ...]) -> list[tuple[str, ...]]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, f"--query-gpu={','.join(fields)}", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=True)
    except (OSError, ValueError, subprocess.SubprocessError):
        return []
    rows = (tuple(cell.strip() for cell in line.split(",")) for line in answer.stdout.splitlines())
    return [row for row in rows if len(row) == len(fields)]
