"""What calibration remembers of a tensor: a few kilobytes, however many samples pass by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

BINS = 2048

_PIECE = 1 << 16
"""Values that are counted at once: what is made of them stays in the processor's cache."""

_ENOUGH = 1 << 20
"""Of more values in one array, about as many are counted: shares of a histogram do not become truer by more."""


class Watch(Protocol):
    """Looks at a tensor's values, sample after sample."""

    def see(self, values: Array) -> None:
        """Take in float32 values of any shape, finite and at least one."""
        ...


class Extent:
    """The smallest and the largest value."""

    def __init__(self) -> None:
        self.low = 0.0
        self.high = 0.0

    def see(self, values: Array) -> None:
        self.low = min(self.low, float(values.min()))
        self.high = max(self.high, float(values.max()))

    @property
    def magnitude(self) -> float:
        return max(-self.low, self.high)


class ChannelExtents:
    """The smallest and the largest value of every channel of the last axis; zero is between them."""

    def __init__(self, channels: int) -> None:
        import numpy as np

        self._low: Array = np.zeros(channels, np.float32)
        self._high: Array = np.zeros(channels, np.float32)

    def see(self, values: Array) -> None:
        import numpy as np

        rows = values.reshape(-1, self._low.size)
        np.minimum(self._low, rows.min(axis=0), out=self._low)
        np.maximum(self._high, rows.max(axis=0), out=self._high)

    @property
    def magnitudes(self) -> Array:
        """The largest absolute value: float32 [channels]."""
        import numpy as np

        largest: Array = np.maximum(-self._low, self._high)
        return largest

    def divided(self, factor: Array) -> Extent:
        """Of the whole tensor when every channel is multiplied by `1 / factor`, as the graph does it: not an estimate.

        Multiplying by a number above zero and rounding keep the order of the values, so that the extremes stay.
        """
        extent = Extent()
        inverse = 1 / factor
        extent.low, extent.high = float((self._low * inverse).min()), float((self._high * inverse).max())
        return extent


class ChannelPeaks:
    """The largest absolute value of every channel of axis 1: over all samples, and a sample's on average."""

    def __init__(self) -> None:
        self._largest: Array | None = None
        self._sum: Array | None = None
        self._count = 0

    def see(self, values: Array) -> None:
        import numpy as np

        channels = values.reshape(values.shape[0], values.shape[1], -1)
        peaks = np.maximum(channels.max(axis=2), -channels.min(axis=2)).astype(np.float64)
        largest, total = peaks.max(axis=0), peaks.sum(axis=0)
        self._largest = largest if self._largest is None else np.maximum(self._largest, largest)
        self._sum = total if self._sum is None else self._sum + total
        self._count += len(peaks)

    @property
    def largest(self) -> Array:
        """float64 [channels]; something must have been seen."""
        assert self._largest is not None, "every watched tensor is seen before its peaks are asked for"
        return self._largest

    @property
    def mean(self) -> Array:
        """float64 [channels]; something must have been seen."""
        assert self._sum is not None, "every watched tensor is seen before its peaks are asked for"
        return self._sum / self._count


class ChannelMeans:
    """The mean of every channel: axis 1 where there are spatial axes behind it, else the last axis."""

    def __init__(self) -> None:
        self._sum: Array | None = None
        self._count = 0

    def see(self, values: Array) -> None:
        import numpy as np

        axis = 1 if values.ndim > 2 else values.ndim - 1
        if axis == 1:  # along memory first, in pairs: several times as fast, and as true
            rows = values.reshape(*values.shape[:2], -1).sum(axis=2)
            total = rows.sum(axis=0, dtype=np.float64)
        else:
            total = values.reshape(-1, values.shape[axis]).sum(axis=0, dtype=np.float64)
        self._sum = total if self._sum is None else self._sum + total
        self._count += values.size // values.shape[axis]

    @property
    def values(self) -> Array:
        """float64 [channels]; something must have been seen."""
        assert self._sum is not None, "every watched tensor is seen before its means are asked for"
        return self._sum / self._count


class Both:
    """Several watches of one tensor.

    Attributes:
        watches: they.
    """

    def __init__(self, *watches: Watch) -> None:
        self.watches = watches

    def see(self, values: Array) -> None:
        for watch in self.watches:
            watch.see(values)


class Histogram:
    """Counts of absolute values in equal bins from 0 to `limit`; the limit doubles when a larger value comes.

    Doubling merges neighbouring bins, so no count is ever moved to a bin where it does not belong. Of large arrays
    every n-th value is counted; the extent is always that of all.

    Attributes:
        extent: smallest and largest value.
        counts: int64 [BINS].
        limit: upper end of the last bin; 0 until a value other than 0 was seen.
    """

    def __init__(self) -> None:
        import numpy as np

        self.extent = Extent()
        self.counts = np.zeros(BINS, np.int64)
        self.limit = 0.0

    def see(self, values: Array) -> None:
        import numpy as np

        self.extent.see(values)
        self._reach(self.extent.magnitude)
        if self.limit == 0:
            self.counts[0] += values.size
            return
        # An odd step meets all columns of an image, whose widths are even more often than not.
        flat, scale = values.reshape(-1)[:: max(1, values.size // _ENOUGH) | 1], np.float32(BINS / self.limit)
        scaled, places = np.empty(min(_PIECE, flat.size), np.float32), np.empty(min(_PIECE, flat.size), np.intp)
        for start in range(0, flat.size, _PIECE):
            piece = flat[start : start + _PIECE]
            magnitudes, bins = scaled[: piece.size], places[: piece.size]
            np.abs(piece, out=magnitudes)
            np.multiply(magnitudes, scale, out=magnitudes)
            np.minimum(magnitudes, np.float32(BINS - 1), out=magnitudes)
            bins[:] = magnitudes
            self.counts += np.bincount(bins, minlength=BINS)

    def _reach(self, magnitude: float) -> None:
        if self.limit == 0:
            self.limit = magnitude
        while self.limit < magnitude:
            self.counts[: BINS // 2] = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts[BINS // 2 :] = 0
            self.limit *= 2
