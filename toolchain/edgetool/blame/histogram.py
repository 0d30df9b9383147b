"""How values are spread: what the plots of blame show, gathered sample by sample."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool.artifact import JsonValue

if TYPE_CHECKING:
    import numpy as np

BINS = 64


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts in equal bins between two ends.

    Attributes:
        low, high: the ends.
        counts: one a bin.
        rms: root mean square of all values.
        largest: largest absolute value; many times `rms` where a few outliers set the range.
    """

    low: float
    high: float
    counts: tuple[int, ...]
    rms: float
    largest: float

    @property
    def outliers(self) -> float:
        """How many times the rms the largest value is; a normal distribution has about 4."""
        return self.largest / self.rms if self.rms else 0.0

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "low": self.low,
            "high": self.high,
            "counts": list(self.counts),
            "rms": self.rms,
            "largest": self.largest,
        }


class HistogramSum:
    """Takes arrays; the bins widen by doubling, so that memory does not grow with the number of samples."""

    def __init__(self) -> None:
        self._edge = 0.0
        self._counts = [0] * BINS
        self._squares = 0.0
        self._count = 0
        self._largest = 0.0

    def add(self, array: np.ndarray[Any, Any]) -> None:
        import numpy as np

        values = array.astype(np.float32).reshape(-1)
        values = values[np.isfinite(values)]
        if not values.size:
            return
        largest = float(np.abs(values).max())
        self._largest = max(self._largest, largest)
        self._squares += float(np.square(values, dtype=np.float64).sum())
        self._count += values.size
        self._widen(largest)
        counts, _ = np.histogram(values, bins=BINS, range=(-self._edge, self._edge))
        self._counts = [one + int(other) for one, other in zip(self._counts, counts, strict=True)]

    def _widen(self, largest: float) -> None:
        if self._edge == 0.0:
            self._edge = largest or 1.0
        while self._edge < largest:
            half = [0] * (BINS // 4)
            pairs = [self._counts[at] + self._counts[at + 1] for at in range(0, BINS, 2)]
            self._counts = [*half, *pairs, *half]
            self._edge *= 2

    def result(self) -> Histogram:
        rms = math.sqrt(self._squares / self._count) if self._count else 0.0
        return Histogram(-self._edge, self._edge, tuple(self._counts), rms, self._largest)
