"""Half-quadratic quantization: grids that suit most values of a block, and not its few outliers; needs no data.

After H. Badri and A. Shaji, "Half-Quadratic Quantization of Large Machine Learning Models" (2023): minimise
`sum |w - s (q - z)|^p` with p < 1 by splitting the error into `e`, shrunk by the p-norm's proximal operator, and a
least-squares problem for the grid. There the zero point is a real number and the scale is kept; DequantizeLinear's
zero point is an integer, so here both are found: z as the rounded mean of `q - (w - e) / s`, s as the projection of
`w - e` on `q - z`. The best grid of all steps is kept for each block: in this norm, which minds outliers less, the
result is never worse than rounding to the nearest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgetool_passes.weight_only.codes import Codes, encode, fitting_grid, in_blocks, usable_scale
from edgetool_passes.weight_only.grain import Grain

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_NORM = 0.7  # p of the formula, the paper's
_STARTS = (1.0, 0.9, 0.8)  # of the scale that cuts nothing off: each start ends in a valley of its own
_STEPS = 8
_BETA, _GROWTH = 10.0, 1.5


def half_quadratic(matrix: Array, grain: Grain) -> Codes:
    """Find grids and integers.

    Args:
        matrix: float32 [rows, columns], finite; the blocks divide the columns.
        grain: with the size of the blocks.
    """
    import numpy as np

    blocks = in_blocks(matrix, grain)
    fitting, fitting_zero = fitting_grid(blocks, grain)
    best = _Best(matrix, blocks, fitting, fitting_zero, grain)
    for start in _STARTS:
        scale, zero = usable_scale(fitting * np.float32(start), grain), fitting_zero
        beta = _BETA
        for _ in range(_STEPS):
            codes = encode(matrix, scale, zero, grain)
            error = best.offer(codes)
            scale, zero = _next_grid(blocks, codes, error, beta, grain)
            beta *= _GROWTH
        best.offer(encode(matrix, scale, zero, grain))
    return encode(matrix, best.scale, best.zero_point, grain)


class _Best:
    """The best grid of every block so far."""

    def __init__(self, matrix: Array, blocks: Array, scale: Array, zero_point: Array | None, grain: Grain) -> None:
        import numpy as np

        self._blocks = blocks
        self._loss = np.full(scale.shape, np.inf, np.float32)
        self.scale = scale.copy()
        self.zero_point = None if zero_point is None else zero_point.copy()
        self.offer(encode(matrix, scale, zero_point, grain))

    def offer(self, codes: Codes) -> Array:
        """Keep the grids of blocks that became better; the errors [rows, blocks, block]."""
        import numpy as np

        error = self._blocks - codes.values().reshape(self._blocks.shape)
        loss = (np.abs(error) ** np.float32(_NORM)).sum(axis=2)
        better = loss < self._loss
        self._loss[better] = loss[better]
        self.scale[better] = codes.scale[better]
        if self.zero_point is not None and codes.zero_point is not None:
            self.zero_point[better] = codes.zero_point[better]
        return error


def _next_grid(blocks: Array, codes: Codes, error: Array, beta: float, grain: Grain) -> tuple[Array, Array | None]:
    """The grid that suits the values without their shrunk errors."""
    import numpy as np

    steps = codes.scale[:, :, None]
    target = blocks - _shrunk(error / steps, beta) * steps
    integers = codes.integers.reshape(blocks.shape).astype(np.float32)
    zero = codes.zero_point
    if zero is not None:
        wanted = (integers - target / steps).mean(axis=2)
        zero = np.clip(np.rint(wanted), *grain.limits).astype(np.uint8)
        integers -= zero[:, :, None]
    power = (integers * integers).sum(axis=2)
    fitted = (integers * target).sum(axis=2) / np.where(power > 0, power, 1)
    return usable_scale(np.where((power > 0) & (fitted > 0), fitted, codes.scale), grain), zero


def _shrunk(error: Array, beta: float) -> Array:
    """The proximal operator of the p-norm: `sign(e) max(|e| - |e|^(p-1) / beta, 0)`, in steps of the grid."""
    import numpy as np

    size = np.maximum(np.abs(error), np.float32(1e-6))
    shrunk: Array = np.sign(error) * np.maximum(size - size ** np.float32(_NORM - 1) / np.float32(beta), 0)
    return shrunk
