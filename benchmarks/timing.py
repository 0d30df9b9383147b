"""Times commands against each other: run in turns, so that a busy machine slows both, and summed up as ratios."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from edgetool.host import read_host


@dataclass(frozen=True, slots=True)
class Command:
    """One contestant.

    Attributes:
        name: as the table prints it.
        argv: the program and its arguments.
        env: added to this process's environment.
        before: called before each run, not timed; clears a cache, say.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    before: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """Seconds of one run; `cpu` is user and system time of the process and of all that it waited for."""

    wall: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """The ratio of two medians, and the smallest and the largest ratio of two runs of the same round."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, these: Sequence[float], those: Sequence[float]) -> Self:
        each = [this / that for this, that in zip(these, those, strict=True)]
        return cls(statistics.median(these) / statistics.median(those), min(each), max(each))

    def __str__(self) -> str:
        return f"{self.median:.2f} x ({self.low:.2f} .. {self.high:.2f})"


def take_turns(commands: Sequence[Command], *, rounds: int, log: Path) -> dict[str, list[Run]]:
    """Run every command once a round, after one round that does not count.

    Args:
        commands: the contestants.
        rounds: how many runs of each count.
        log: what they print goes here.

    Raises:
        subprocess.CalledProcessError: one of them failed; its output is in the log.
    """
    found: dict[str, list[Run]] = {command.name: [] for command in commands}
    for number in range(rounds + 1):
        for command in commands:
            run = _run(command, log)
            if number:
                found[command.name].append(run)
    return found


def _run(command: Command, log: Path) -> Run:
    if command.before is not None:
        command.before()
    # An installed package is compiled; a working tree may be forbidden to be.
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(log.parent / "compiled")}
    with log.open("ab") as sink:
        started = time.perf_counter()
        process = subprocess.Popen(
            command.argv, stdout=sink, stderr=sink, env={**os.environ, **compiled, **command.env}
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command.argv, log.read_text()[-2000:])
    return Run(wall, usage.ru_utime + usage.ru_stime)


def report(runs: Mapping[str, Sequence[Run]], *, against: str, limits: Mapping[str, float]) -> None:
    """Print a table: medians, and ratios to the contestant named `against` with what is required of them."""
    base = runs[against]
    for name, those in runs.items():
        wall, cpu = ([run.wall for run in those], [run.cpu for run in those])
        line = f"  {name:34} wall {statistics.median(wall):6.3f} s  cpu {statistics.median(cpu):6.3f} s"
        if name != against:
            walls = Ratio.of(wall, [run.wall for run in base])
            cpus = Ratio.of(cpu, [run.cpu for run in base])
            line += f"  = {walls} wall, {cpus} cpu"
            if name in limits:
                line += f"  required <= {limits[name]} x: {'held' if walls.median <= limits[name] else 'MISSED'}"
        print(line, flush=True)


def print_machine() -> None:
    """The processor and its instruction sets: the ratios hold for these and claim nothing for others."""
    host = read_host()
    print(f"{host.cpu or 'unknown processor'} ({host.arch}), {host.threads} threads; {' '.join(host.isa)}")


def processor_time_below(process: int) -> float:
    """Seconds of user and system time of a process's children, their children and so on, up to now (Linux)."""
    tick = os.sysconf("SC_CLK_TCK")
    parents: dict[int, int] = {}
    spent: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        number = int(entry.name)
        parents[number] = int(fields[1])
        spent[number] = sum(map(int, fields[11:15])) / tick  # its own, and of those it has waited for
    total = 0.0
    for number, seconds in spent.items():
        above = parents[number]
        while above in parents and above != process:
            above = parents[above]
        total += seconds if above == process else 0.0
    return total
