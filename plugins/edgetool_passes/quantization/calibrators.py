"""From what was seen of a tensor to the range that int8 will cover."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from edgetool.qdq.ranges import Range
from edgetool_passes.quantization.histogram import BINS, Extent, Histogram

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

Calibrator: TypeAlias = Literal["min-max", "entropy", "percentile", "mse"]

_LEVELS = 128
"""Magnitudes that a symmetric int8 can tell apart."""
_STRIDE = 16
"""Thresholds are tried every so many bins: 1/128 of the range, finer than one level."""


_NEXT_TO_NOTHING = 1e-9


def new_watch(calibrator: Calibrator) -> Extent | Histogram:
    """What has to watch a tensor for this calibrator."""
    return Extent() if calibrator == "min-max" else Histogram()


def choose_range(watch: Extent | Histogram, calibrator: Calibrator, *, percentile: float) -> Range:
    """The range of a tensor that was watched; it contains zero.

    Args:
        watch: made by `new_watch` for this calibrator.
        calibrator: `min-max` covers all that was seen; the others cut rare large values off.
        percentile: share of the values, in percent, that `percentile` keeps inside.
    """
    if isinstance(watch, Extent):
        return Range(watch.low, watch.high)
    if watch.limit == 0:
        return Range(0.0, 0.0)
    match calibrator:
        case "percentile":
            threshold = _percentile(watch.counts, percentile)
        case "entropy":
            threshold = _entropy(watch.counts)
        case _:
            threshold = _least_squares(watch.counts)
    cut = min(threshold * watch.limit / BINS, watch.extent.magnitude)
    return Range(max(watch.extent.low, -cut), min(watch.extent.high, cut))


def _percentile(counts: Array, percentile: float) -> int:
    """Bins from zero that hold this share of the values."""
    import numpy as np

    cumulated = np.cumsum(counts)
    return int(np.searchsorted(cumulated, cumulated[-1] * percentile / 100)) + 1


def _entropy(counts: Array) -> int:
    """Bins from zero whose clipped and quantized distribution tells the least apart from the seen one.

    Follows S. Migacz, "8-bit Inference with TensorRT" (GTC 2017): for every threshold, the values beyond it are counted
    in the last bin (P); the bins are joined into 128 levels and spread again over those that held something (Q); the
    threshold with the smallest Kullback-Leibler divergence of P from Q wins. Zeros are left out: they are exact anyway,
    and after a ReLU they would outweigh all else.
    """
    import numpy as np

    seen = counts.astype(np.float64)
    seen[0] = 0
    beyond = np.cumsum(seen[::-1])[::-1]
    best, threshold = np.inf, BINS
    for bins in range(_LEVELS, BINS + 1, _STRIDE):
        kept = seen[:bins]
        clipped = kept.copy()
        clipped[-1] += beyond[bins] if bins < BINS else 0
        level = np.arange(bins) * _LEVELS // bins
        held = clipped > 0
        totals = np.bincount(level, weights=kept, minlength=_LEVELS)
        members = np.bincount(level, weights=held, minlength=_LEVELS)
        spread = np.where(held, totals[level] / np.maximum(members[level], 1), 0)
        divergence = _divergence(clipped, spread)
        if divergence < best:
            best, threshold = divergence, bins
    return threshold


def _divergence(p: Array, q: Array) -> float:
    """Kullback-Leibler divergence of two histograms; what q has nothing of counts as next to nothing."""
    import numpy as np

    if p.sum() == 0 or q.sum() == 0:
        return float("inf")
    p, q = p / p.sum(), np.maximum(q / q.sum(), _NEXT_TO_NOTHING)
    where = p > 0
    return float((p[where] * np.log(p[where] / q[where])).sum())


def _least_squares(counts: Array) -> int:
    """Bins from zero for which rounding inside and clipping outside together do the least squared error."""
    import numpy as np

    centres = np.arange(BINS) + 0.5
    best, threshold = np.inf, BINS
    for bins in range(_LEVELS, BINS + 1, _STRIDE):
        step = bins / (_LEVELS - 1)
        rounded = np.minimum(np.rint(centres / step), _LEVELS - 1) * step
        error = float((counts * (centres - rounded) ** 2).sum())
        if error < best:
            best, threshold = error, bins
    return threshold
