"""The time that a search may take: asked before each evaluation, and the end of whatever still runs when it is up."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class OutOfTime(Exception):  # noqa: N818 - the regular end of a search, not an error
    """There is no time for another evaluation."""


class Clock:
    """Counts down.

    Args:
        seconds: to have from now on.
        margin: share of them that is kept for the report.
    """

    def __init__(self, seconds: float, *, margin: float = 0.02) -> None:
        self._started = time.monotonic()
        self._deadline = self._started + seconds - min(1.0, seconds * margin)
        self._taken: list[float] = []
        self.expired = False

    @property
    def left(self) -> float:
        return self._deadline - time.monotonic()

    @property
    def spent(self) -> float:
        return time.monotonic() - self._started

    def learn(self, seconds: float) -> None:
        """An evaluation took so long."""
        self._taken.append(seconds)

    def ask(self) -> None:
        """Raise `OutOfTime` where an evaluation that takes as long as most would not end in time."""
        if self.left <= (statistics.median(self._taken) if self._taken else 0.0):
            raise OutOfTime

    @contextmanager
    def cutting_off(self, end: Callable[[], None]) -> Iterator[None]:
        """Call `end` when the time is up; within the block an error may then mean only that."""

        def expire() -> None:
            self.expired = True
            end()

        timer = threading.Timer(max(0.0, self.left), expire)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
