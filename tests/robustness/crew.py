"""Workers that share a list of mutants. One that dies or hangs is reported with its mutant, and another one goes on.

Commands run in processes of their own; what a worker falls over is the suite's own: a mutation that fails, a full disk.
"""

from __future__ import annotations

import mmap
import os
import resource
import select
import signal
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.robustness.forked import fork

_PLACE = struct.Struct("=qd")
_MOST_LOST = 20
_MEMORY = 4 << 30
"""A worker's own address space; commands have limits of theirs. A mutation that runs wild must not take the machine."""
_LOOK_EVERY = 1.0

Try = Callable[[int], None]
"""Tries the mutant of this index and writes down what became of it."""
Lost = Callable[[int, str], None]
"""Is told the index of a mutant that took its worker along, and how the worker ended."""


class CrewError(Exception):
    """So many workers are lost that it is not the mutants."""


@dataclass(frozen=True, slots=True)
class _Worker:
    pid: int
    ended: int
    indices: Sequence[int]
    board: mmap.mmap

    @property
    def place(self) -> tuple[int, float]:
        """How many mutants it has begun, and when it began the last one."""
        begun, since = _PLACE.unpack(self.board[: _PLACE.size])
        return begun, since


def run_crew(indices: Sequence[int], *, jobs: int, prepare: Callable[[], Try], lost: Lost, patience: float) -> None:
    """Try every index in one of `jobs` processes.

    Args:
        indices: are dealt out like cards.
        jobs: workers side by side.
        prepare: is called in each new worker, before its first mutant.
        lost: is called in this process.
        patience: seconds after which a worker that is still at the same mutant is ended.

    Raises:
        CrewError: workers die before their first mutant, or one after the other.
    """
    workers = [_start(indices[at::jobs], prepare) for at in range(jobs)]
    losses = 0
    try:
        while workers:
            ready, _, _ = select.select([worker.ended for worker in workers], [], [], _LOOK_EVERY)
            for worker in [*workers]:
                late = time.monotonic() - worker.place[1] > patience
                if worker.ended not in ready and not late:
                    continue
                workers.remove(worker)
                how = _end(worker, late=late and worker.ended not in ready)
                if how is None:
                    continue
                losses += 1
                left = _report(worker, how, lost)
                if losses > _MOST_LOST:
                    raise CrewError(f"{losses} workers of the suite itself were lost; the last one {how}")
                workers.append(_start(left, prepare))
    finally:
        for worker in workers:
            _end(worker, late=True)


def _start(indices: Sequence[int], prepare: Callable[[], Try]) -> _Worker:
    board = mmap.mmap(-1, _PLACE.size)
    board[:] = _PLACE.pack(0, time.monotonic())

    def work() -> int:
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, most))
        attempt = prepare()
        for begun, index in enumerate(indices, start=1):
            board[:] = _PLACE.pack(begun, time.monotonic())
            attempt(index)
        return 0

    pid = fork(work)
    return _Worker(pid, os.pidfd_open(pid), indices, board)


def _end(worker: _Worker, *, late: bool) -> str | None:
    """How a worker ended; None if it did all of its work."""
    if late:
        os.kill(worker.pid, signal.SIGKILL)  # what it started ends with it; it may have no group of its own yet
    code = os.waitstatus_to_exitcode(os.waitpid(worker.pid, 0)[1])
    os.close(worker.ended)
    if late:
        return "did not get on and was ended"
    return None if code == 0 else f"ended with {code if code > 0 else signal.Signals(-code).name}"


def _report(worker: _Worker, how: str, lost: Lost) -> Sequence[int]:
    """Tell which mutant it was; the rest is still to do."""
    begun, _ = worker.place
    if not begun:
        raise CrewError(f"a worker of the suite itself {how} before its first mutant")
    lost(worker.indices[begun - 1], how)
    return worker.indices[begun:]
