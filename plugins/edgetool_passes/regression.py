"""Least squares from streamed samples: `y ≈ x A + b`, held back towards what is known already.

Ridge regression (Hoerl and Kennard, 1970) around a prior `P`: `A = P + D` minimises `|y - x A - b|² + λ |D|²`. The
samples go into two folds by turns; λ is the one of a few whose fit to either fold explains the other best, and the fit
that counts is to all of them. Where the samples teach nothing, the prior stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""λ, as multiples of the mean variance of an input."""


class Fold:
    """Sums over pairs of vectors, float64."""

    def __init__(self, inputs: int, outputs: int) -> None:
        import numpy as np

        self.count = 0
        self.x: Array = np.zeros(inputs)
        self.y: Array = np.zeros(outputs)
        self.xx: Array = np.zeros((inputs, inputs))
        self.xy: Array = np.zeros((inputs, outputs))
        self.yy = 0.0

    def add(self, x: Array, y: Array) -> None:
        self.count += len(x)
        self.x += x.sum(axis=0)
        self.y += y.sum(axis=0)
        self.xx += x.T @ x
        self.xy += x.T @ y
        self.yy += float((y * y).sum())

    def __add__(self, other: Fold) -> Fold:
        total = Fold(len(self.x), len(self.y))
        for part in (self, other):
            total.count += part.count
            total.x += part.x
            total.y += part.y
            total.xx += part.xx
            total.xy += part.xy
            total.yy += part.yy
        return total


@dataclass(frozen=True, eq=False)
class Fit:
    """What was found.

    Attributes:
        matrix: float64 [inputs, outputs]; with `diagonal`, the diagonal alone: [inputs].
        shift: float64 [outputs].
        strength: the chosen λ; None where there was only one fold to look at, and the largest was taken.
        error: squared error on samples that the fit had not seen, as a share of the variance of `y`; of the prior
            `error_before`.
        error_before: the same for the prior with its best shift.
    """

    matrix: Array
    shift: Array
    strength: float | None
    error: float
    error_before: float


class Regression:
    """Takes in pairs of tensors, sample after sample.

    Args:
        inputs: channels of x.
        outputs: channels of y.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        self.inputs = inputs
        self._folds = (Fold(inputs, outputs), Fold(inputs, outputs))
        self._seen = 0

    def see(self, x: Array, y: Array) -> None:
        """Take in one sample: float [rows, inputs] and [rows, outputs]."""
        import numpy as np

        self._folds[self._seen % 2].add(x.astype(np.float64), y.astype(np.float64))
        self._seen += 1

    def fit(self, prior: Array, *, shifted: bool = True, diagonal: bool = False) -> Fit:
        """Solve.

        Args:
            prior: [inputs, outputs], or [inputs] with `diagonal`.
            shifted: whether there is a shift; else it is zero.
            diagonal: a factor and a shift for each channel, instead of a matrix.
        """
        even, odd = self._folds

        def solve(fold: Fold, prior: Array, strength: float) -> tuple[Array, Array]:
            means = (fold.x / fold.count, fold.y / fold.count) if shifted else (0 * fold.x, 0 * fold.y)
            return (_solve_diagonal if diagonal else _solve)(fold, means, prior, strength)

        if not even.count or not odd.count:
            whole = even + odd
            matrix, shift = solve(whole, prior, _STRENGTHS[-1])
            before = _error(whole, *solve(whole, prior, float("inf")))
            return Fit(matrix, shift, None, _error(whole, matrix, shift), before)
        errors = {
            strength: (_error(odd, *solve(even, prior, strength)) + _error(even, *solve(odd, prior, strength))) / 2
            for strength in (*_STRENGTHS, float("inf"))
        }
        best = min(errors, key=lambda strength: errors[strength])
        matrix, shift = solve(even + odd, prior, best)
        return Fit(matrix, shift, best, errors[best], errors[float("inf")])


def _solve(fold: Fold, means: tuple[Array, Array], prior: Array, strength: float) -> tuple[Array, Array]:
    import numpy as np

    mean_x, mean_y = means
    matrix = prior
    if strength != float("inf"):
        xx, xy = fold.xx - np.outer(fold.x, mean_x), fold.xy - np.outer(fold.x, mean_y)
        scale = max(float(np.trace(xx)) / len(xx), 1e-30)
        matrix = prior + np.linalg.solve(xx + strength * scale * np.eye(len(xx)), xy - xx @ prior)
    return matrix, mean_y - mean_x @ matrix


def _solve_diagonal(fold: Fold, means: tuple[Array, Array], prior: Array, strength: float) -> tuple[Array, Array]:
    import numpy as np

    mean_x, mean_y = means
    factor = prior
    if strength != float("inf"):
        xx, xy = np.diag(fold.xx) - fold.x * mean_x, np.diag(fold.xy) - fold.x * mean_y
        factor = prior + (xy - xx * prior) / (xx + strength * max(float(xx.mean()), 1e-30))
    return factor, mean_y - mean_x * factor


def _error(fold: Fold, matrix: Array, shift: Array) -> float:
    """Squared error of a fit, as a share of the variance of y."""
    import numpy as np

    matrix = np.diag(matrix) if matrix.ndim == 1 else matrix
    predicted = matrix.T @ fold.x + fold.count * shift
    error = fold.yy - 2 * float((matrix * fold.xy).sum()) - 2 * float(shift @ fold.y)
    error += float((matrix * (fold.xx @ matrix)).sum()) + float(shift @ (2 * predicted - fold.count * shift))
    variance = fold.yy - float(fold.y @ fold.y) / fold.count
    return max(error, 0.0) / max(variance, 1e-30)
