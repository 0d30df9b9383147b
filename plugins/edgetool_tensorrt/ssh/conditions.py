"""What an inference's time depends on besides the engine: power mode, clocks and temperature of the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgetool.artifact import JsonValue
from edgetool_tensorrt.ssh.connection import Connection
from edgetool_tensorrt.ssh.lines import Lines, read_lines
from edgetool_tensorrt.ssh.scripts import script

_NOW = slice(3, 5)  # fields of nvidia-smi, after those that describe the card


@dataclass(frozen=True, slots=True)
class Conditions:
    """One moment on the device.

    Attributes:
        power_mode: as `nvpmodel -q` names it; None where there is none.
        temperature: hottest zone, degrees Celsius.
        clocks: Hz by clock.
    """

    power_mode: str | None
    temperature: float | None
    clocks: Mapping[str, int]

    def to_json(self) -> dict[str, JsonValue]:
        return {"power_mode": self.power_mode, "temperature": self.temperature, "clocks_hz": dict(self.clocks)}


def conditions_now(connection: Connection) -> Conditions:
    """Read them from the device. Raises as `Connection.must`."""
    return read_conditions(read_lines(connection.must("reading clocks and temperature", script("conditions")).text))


def read_conditions(lines: Lines) -> Conditions:
    """Of the lines that the device's script writes; what it does not know is left out."""
    temperatures = [int(value) / 1000 for value in lines.all("temperature") if value.lstrip("-").isdigit()]
    clocks = {name: int(value) for name, value in lines.pairs("clock_hz") if value.isdigit()}
    clocks |= {name: int(value) * 1000 for name, value in lines.pairs("clock_khz") if value.isdigit()}
    temperature, clock = (*(value.strip() for value in (lines.first("smi") or "").split(",")[_NOW]), "", "")[:2]
    temperatures += [float(temperature)] if temperature.isdigit() else []
    clocks |= {"gpu": int(clock) * 1_000_000} if clock.isdigit() else {}
    return Conditions(power_mode=lines.first("power_mode"), temperature=max(temperatures, default=None), clocks=clocks)
