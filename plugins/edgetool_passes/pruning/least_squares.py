"""Least squares on rows that come in pieces, with a ridge whose strength held-out rows choose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_RIDGES = (0.0003, 0.003, 0.03, 0.3, 3.0)
"""Strengths to choose from, as shares of each input's own second moment."""
_UNTRIED = 3.0
"""The strength where there are too few rows to hold some out."""


class LeastSquares:
    """Finds `W` that minimises `‖Y - X W‖² + ridge ‖W - W₀‖²`.

    Args:
        constant: append a constant to every row of X, whose weight is the bias and bears no ridge.
    """

    def __init__(self, *, constant: bool) -> None:
        self._constant = constant
        self._halves = (_Sums(), _Sums())

    def add(self, x: Array, y: Array, *, half: int) -> None:
        """Take in rows.

        Args:
            x: float [rows, inputs].
            y: float [rows, outputs].
            half: 0 or 1: rows of one half judge what is learnt from the other.
        """
        import numpy as np

        if self._constant:
            x = np.concatenate([x, np.ones((len(x), 1), x.dtype)], axis=1)
        self._halves[half].add(x, y)

    def solve(self, start: Array) -> Array:
        """The best weights, float64 [inputs (and the constant), outputs].

        Args:
            start: `W₀`, of the same shape.
        """
        first, second = self._halves
        if min(first.count, second.count) == 0:
            return self._solution([first, second], start, _UNTRIED)
        errors = [
            second.error(self._solution([first], start, ridge)) + first.error(self._solution([second], start, ridge))
            for ridge in _RIDGES
        ]
        return self._solution([first, second], start, _RIDGES[errors.index(min(errors))])

    def _solution(self, parts: Sequence[_Sums], start: Array, ridge: float) -> Array:
        import numpy as np

        seen = [part for part in parts if part.count]
        products, targets = sum(part.products for part in seen), sum(part.targets for part in seen)
        penalty = np.diag(products).copy()
        penalty += 1e-6 * penalty.mean() or 1.0
        if self._constant:
            penalty[-1] = 0
        change: Array = np.linalg.solve(products + np.diag(ridge * penalty), targets - products @ start)
        return start + change


class _Sums:
    """Products of rows, added up."""

    def __init__(self) -> None:
        self.count = 0
        self.products: Any = 0.0
        self.targets: Any = 0.0

    def add(self, x: Array, y: Array) -> None:
        self.count += len(x)
        self.products = self.products + (x.T @ x).astype(float)
        self.targets = self.targets + (x.T @ y).astype(float)

    def error(self, weights: Array) -> float:
        """Squared error of these weights on these rows, less what does not depend on them."""
        return float((weights * (self.products @ weights - 2 * self.targets)).sum())
