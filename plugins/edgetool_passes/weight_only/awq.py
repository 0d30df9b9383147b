"""Weights that meet large inputs are enlarged before they are rounded, and the inputs made smaller in return.

After J. Lin et al., "AWQ: Activation-aware Weight Quantization for LLM Compression and Acceleration" (2023):
`x W = (x / s)(s W)` with `s = r^a` for every input channel, where `r` is the size of its inputs and `a` is searched
for. The paper takes the mean magnitude of the inputs; here it is the root of their mean square, which the second
moments hold already. The error that is minimised is that of the product on the calibration data, `tr(E H E^T)`. The
division stays in the graph as one Mul on the activation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgetool_passes.weight_only.codes import nearest
from edgetool_passes.weight_only.grain import Grain
from edgetool_passes.weight_only.moments import damped

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_TRIED = 20


def channel_factors(matrices: Sequence[tuple[Array, Grain]], moments: Array) -> Array | None:
    """What to multiply the columns of all these matrices by before they are rounded; None where nothing helps.

    Args:
        matrices: float32 [rows, columns] of the products that read one activation, and how they are quantized.
        moments: float32 [columns, columns] of that activation.

    Returns:
        float32 [columns].
    """
    import numpy as np

    moments = damped(moments).astype(np.float32)
    size = np.sqrt(np.diagonal(moments))
    best, best_error = None, _error(matrices, moments, None)
    for tried in range(1, _TRIED):
        factor = size ** (tried / _TRIED)
        factor = (factor / np.sqrt(factor.max() * factor.min())).astype(np.float32)
        error = _error(matrices, moments, factor)
        if error < best_error:
            best, best_error = factor, error
    return best


def _error(matrices: Sequence[tuple[Array, Grain]], moments: Array, factor: Array | None) -> float:
    """`tr(E H E^T)` over all matrices, `E` being the error of the weights as the inputs see it."""
    total = 0.0
    for matrix, grain in matrices:
        if factor is None:
            error = matrix - nearest(matrix, grain).values()
        else:
            error = matrix - nearest(matrix * factor, grain).values() / factor
        total += float(((error @ moments) * error).sum())
    return total
