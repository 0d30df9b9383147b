"""Single weights go while the others of their row make up for them.

After E. Frantar and D. Alistarh, "SparseGPT: Massive Language Models Can Be Accurately Pruned in One-Shot" (2023). With
`U` the upper Cholesky factor of `H⁻¹`, `H = E[x xᵀ]`, the columns are walked from left to right: removing weight `w`
of column `j` costs `(w / U_jj)²`, and `w / U_jj · U_j` is what the columns behind it have to take over. All rows share
`U`, whatever they remove.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgetool_passes.pruning.masks import RUN, smallest, two_of_four

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_BLOCK = 128
"""Columns for which weights are chosen at once."""
_DAMPING = 0.01
"""Of the mean diagonal of H, added to its diagonal."""


def prune_rows(weight: Array, second: Array, *, share: float | None) -> Array:
    """The rows with zeros, adapted to them; float64 of the same shape.

    Args:
        weight: [outputs, inputs].
        second: `E[x xᵀ]`, float64 [inputs, inputs].
        share: of zeros; None for two of every four neighbouring inputs.
    """
    import numpy as np

    weight = weight.astype(np.float64)
    factor = _factor(second)
    inputs = weight.shape[1]
    for start in range(0, inputs, _BLOCK):
        stop = min(start + _BLOCK, inputs)
        block, inside = weight[:, start:stop], factor[start:stop, start:stop]
        diagonal = np.diag(inside)
        errors = np.zeros_like(block)
        chosen = None if share is None else smallest((block / diagonal) ** 2, round(share * block.size))
        gone = np.zeros(block.shape, bool) if chosen is None else chosen
        for column in range(stop - start):
            if chosen is None and column % RUN == 0:
                ahead = slice(column, column + RUN)
                gone[:, ahead] = two_of_four((block[:, ahead] / diagonal[ahead]) ** 2)
            error = np.where(gone[:, column], block[:, column], 0) / diagonal[column]
            block[:, column:] -= np.outer(error, inside[column, column:])
            block[gone[:, column], column] = 0
            errors[:, column] = error
        weight[:, stop:] -= errors @ factor[start:stop, stop:]
    return weight


def _factor(second: Array) -> Array:
    """Upper Cholesky factor of the inverse; inputs that are always 0 count as if they were 1."""
    import numpy as np

    width = len(second)
    dead = np.diag(second) <= 0
    prepared = second + np.diag(dead.astype(np.float64))
    prepared += _DAMPING * float(np.trace(prepared)) / width * np.eye(width)
    factor: Array = np.linalg.cholesky(np.linalg.inv(prepared)).T
    return factor
