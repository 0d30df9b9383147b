"""An opened engine or model, ready to infer: what goes in, what comes out, how long it takes."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from edgetool.artifact import Facts
from edgetool.signature import Signature

if TYPE_CHECKING:
    import numpy as np

Feeds: TypeAlias = "Mapping[str, np.ndarray[Any, Any]]"
"""Tensor name to array: what goes into a Runner, and what comes out."""


class Runner(ABC):
    """An opened engine. A context manager; `infer` may be called any number of times, from one thread.

    Attributes:
        signature: what it takes and gives.
        elsewhere: the device that it runs on, where that is another machine; None when it runs in this process.
            Its latency is then not compared with that of a model that runs here.
        emulated: an emulator executes the device's instructions: what comes out counts, how long it takes does not.
    """

    signature: Signature
    elsewhere: str | None = None
    emulated: bool = False

    @abstractmethod
    def infer(self, feeds: Feeds) -> dict[str, np.ndarray[Any, Any]]:
        """Run once. Feeds and results are name -> array; results hold every output of the signature."""

    def time(self, feeds: Feeds, runs: int) -> list[float]:
        """Seconds of each of `runs` inferences. Overridden where the device itself is the better clock."""
        seconds = []
        for _ in range(runs):
            started = time.perf_counter_ns()
            self.infer(feeds)
            seconds.append((time.perf_counter_ns() - started) / 1e9)
        return seconds

    def conditions(self) -> Facts:
        """What the measured times depend on besides the engine: clocks, power mode, temperature; empty if unknown."""
        return {}

    def peak_memory(self) -> int | None:
        """Bytes that the engine took at most where it runs elsewhere; None when this process knows better."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Give back the device memory. Closing twice is harmless."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
