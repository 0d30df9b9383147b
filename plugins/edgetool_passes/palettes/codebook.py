"""Chooses the values of a palette for numbers on a line.

`fixed` is k-means (S. Lloyd, "Least Squares Quantization in PCM", 1982), begun with the exact solution for the numbers
in some hundred heaps. `entropy` lets a value cost what an ideal code takes for it (P. Chou, T. Lookabaugh and R. Gray,
"Entropy-constrained vector quantization", 1989): with the same size after coding the error is smaller, and rare large
numbers keep values of their own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool_passes.palettes.wishes import MOST_VALUES, Wishes

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_ROUNDS = 60
_SETTLED = 1e-5  # of the numbers' spread
_SAMPLE = 1 << 20
_ENDS = 1 << 10  # of the smallest and the largest numbers are always in a sample
_STRETCHES = 512
_HALVINGS = 30


@dataclass(frozen=True, eq=False)
class Codebook:
    """A palette.

    Attributes:
        values: float64, ascending; at most `MOST_VALUES`, less one if it has a zero.
        edges: float64, between them: a number belongs to the first value whose edge is not below it.
        has_zero: exact zeros stay what they are, under index 0; the values follow.
    """

    values: Array
    edges: Array
    has_zero: bool

    @property
    def palette(self) -> Array:
        """float64: the number for every index."""
        import numpy as np

        return np.append(0.0, self.values) if self.has_zero else self.values

    def indices(self, numbers: Array, is_zero: Array) -> Array:
        """uint8: the index for every number.

        Args:
            numbers: float.
            is_zero: bool, of the same shape: which of them have to be zero; none if the palette has no zero.
        """
        import numpy as np

        found = np.searchsorted(self.edges, numbers) + self.has_zero
        found[is_zero] = 0
        return found.astype(np.uint8)


def fitting(numbers: Array, wishes: Wishes) -> Codebook:
    """The palette that suits some finite numbers.

    Args:
        numbers: float, at least one; of more than a million, a sample decides.
        wishes: how many values.
    """
    import numpy as np

    flat = numbers.reshape(-1)
    others = flat[flat != 0]
    has_zero = len(others) < len(flat)
    most = MOST_VALUES - has_zero
    line = _Line(_sample(others))
    if _is_small(line, wishes, most):
        values, edges = line.different, _middles(line.different)
    elif wishes.coding == "fixed":
        values, edges = _fixed(line, min(most, round(2**wishes.bits)))
    else:
        values, edges = _by_entropy(line, wishes.bits, most)
    return Codebook(values, np.asarray(edges), has_zero)


def _is_small(line: _Line, wishes: Wishes, most: int) -> bool:
    """Whether the numbers are a palette already."""
    count = len(line.different)
    if wishes.coding == "fixed":
        return count <= min(most, round(2**wishes.bits))
    return count <= most and _entropy(line.cut(_middles(line.different))[1]) <= wishes.bits


def _sample(numbers: Array) -> Array:
    """float64, ascending."""
    import numpy as np

    if len(numbers) <= _SAMPLE:
        return np.sort(numbers.astype(np.float64))
    parted = np.partition(numbers, (_ENDS, len(numbers) - _ENDS))
    chosen = (parted[:_ENDS], numbers[:: math.ceil(len(numbers) / _SAMPLE)], parted[-_ENDS:])
    return np.sort(np.concatenate(chosen).astype(np.float64))


class _Line:
    """Ascending numbers of which any stretch's mean is known at once.

    Args:
        numbers: float64, ascending.
    """

    def __init__(self, numbers: Array) -> None:
        import numpy as np

        self.numbers = numbers
        self.different: Array = np.unique(numbers)
        self.spread = float(numbers[-1] - numbers[0]) if len(numbers) else 0.0
        self._sums = np.concatenate([[0.0], np.cumsum(numbers)])

    def cut(self, edges: Array) -> tuple[Array, Array]:
        """Means and shares of the stretches between edges; empty stretches are left out."""
        import numpy as np

        ends = np.concatenate([[0], np.searchsorted(self.numbers, edges, side="right"), [len(self.numbers)]])
        counts = np.diff(ends)
        filled = counts > 0
        sums = np.diff(self._sums[ends])
        return sums[filled] / counts[filled], counts[filled] / len(self.numbers)


def _fixed(line: _Line, count: int) -> tuple[Array, Array]:
    """Begun with the best division of some hundred stretches of the line."""
    import numpy as np

    even = np.linspace(line.numbers[0], line.numbers[-1], _STRETCHES // 2)
    often = np.quantile(line.numbers, np.linspace(0, 1, _STRETCHES // 2), method="lower")
    is_few = len(line.different) <= _STRETCHES
    means, shares = line.cut(_middles(line.different if is_few else np.unique(np.concatenate([even, often]))))
    values, shares = line.cut(_middles(means)[_best_cuts(means, shares, count) - 1])
    return _settled(line, values, shares, price=0.0)


def _best_cuts(means: Array, shares: Array, count: int) -> Array:
    """Where to cut a row of weighted numbers into `count` parts so that they vary least around their means.

    Dynamic programming over all cuts: H. Wang and M. Song, "Ckmeans.1d.dp", 2011.

    Returns:
        For each part but the first, which number begins it.
    """
    import numpy as np

    weights, sums, squares = (np.append(0.0, np.cumsum(shares * means**power)) for power in range(3))
    first, end = np.meshgrid(np.arange(len(weights)), np.arange(len(weights)))
    with np.errstate(divide="ignore", invalid="ignore"):
        error = squares[end] - squares[first] - (sums[end] - sums[first]) ** 2 / (weights[end] - weights[first])
    error[end <= first] = np.inf
    least = error[:, 0]
    begins = []
    for _ in range(min(count, len(means)) - 1):
        total = least + error
        begins.append(total.argmin(axis=1))
        least = total[np.arange(len(total)), begins[-1]]
    cuts = [len(means)]
    for begin in reversed(begins):
        cuts.append(begin[cuts[-1]])
    return np.array(cuts[:0:-1], np.int64)


def _by_entropy(line: _Line, bits: float, most: int) -> tuple[Array, Array]:
    """Begun with an even grid of the wanted entropy, whose error says what a bit is worth."""
    import numpy as np

    smallest, largest = line.spread * 1e-6, line.spread
    for _ in range(_HALVINGS):
        step = math.sqrt(smallest * largest)
        if _entropy(_even(line, step)[1]) > bits:
            smallest = step
        else:
            largest = step
    values, shares = _even(line, largest)
    while len(values) > most:
        rare = np.sort(np.argsort(shares, kind="stable")[: len(shares) // 2])[::2]
        values, shares = line.cut(_middles(np.delete(values, rare)))
    return _settled(line, values, shares, price=2 * math.log(2) * largest**2 / 12)


def _even(line: _Line, step: float) -> tuple[Array, Array]:
    import numpy as np

    low, high = (math.floor(end / step) for end in (line.numbers[0], line.numbers[-1]))
    if high - low > len(line.numbers) * 4:  # finer than the numbers are
        return line.cut(_middles(line.different))
    return line.cut((np.arange(low, high + 1) + 0.5) * step)


def _settled(line: _Line, values: Array, shares: Array, *, price: float) -> tuple[Array, Array]:
    """Move values and edges in turns until they stay.

    Args:
        line: the numbers.
        values, shares: to begin with.
        price: squared error that one bit is worth.

    Returns:
        Values and edges.
    """
    import numpy as np

    edges = _edges(values, shares, price)
    for _ in range(_ROUNDS):
        moved, shares = line.cut(edges)
        edges = _edges(moved, shares, price)
        is_settled = len(moved) == len(values) and np.abs(moved - values).max() < _SETTLED * line.spread
        values = moved
        if is_settled:
            break
    return values, edges


def _edges(values: Array, shares: Array, price: float) -> Array:
    """Where two values cost the same: their squared error, and the bits of their codes."""
    import numpy as np

    shift = price * np.log2(shares[1:] / shares[:-1]) / (2 * np.diff(values))
    return np.maximum.accumulate(_middles(values) - shift)


def _middles(values: Array) -> Array:
    middles: Array = (values[1:] + values[:-1]) / 2
    return middles


def _entropy(shares: Array) -> float:
    import numpy as np

    return float(-(shares * np.log2(shares)).sum())
