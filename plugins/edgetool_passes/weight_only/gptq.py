"""Rounding one column at a time, with each column's error made good by the columns that are still to come.

After E. Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers" (2022),
with the Cholesky form and the lazy updates of its section 3.3. What is minimised is the error of the product on the
calibration data, `tr(E H E^T)` with `H` the second moments of the inputs. Inputs are those of the float network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgetool_passes.weight_only.codes import Codes, encode, fitting_grid, in_blocks
from edgetool_passes.weight_only.grain import Grain
from edgetool_passes.weight_only.moments import damped

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_LAZY = 128  # columns whose errors are carried over to the rest at once


class Compensation:
    """How an error in one column is best made good by the others.

    Args:
        moments: float32 [columns, columns]: `sum x x^T` over the inputs `x` of the product.

    Attributes:
        factor: float32 [columns, columns], the upper Cholesky factor of the inverse of the damped moments.
    """

    def __init__(self, moments: Array) -> None:
        import numpy as np

        inverse = np.linalg.inv(damped(moments))
        self.factor: Array = np.linalg.cholesky((inverse + inverse.T) / 2).T.astype(np.float32)

    def quantize(self, matrix: Array, grain: Grain) -> Codes:
        """Find grids and integers.

        Args:
            matrix: float32 [rows, columns], finite; the blocks divide the columns.
            grain: with the size of the blocks.
        """
        import numpy as np

        left = matrix.copy()
        rows, columns = left.shape
        block = grain.block or columns
        scale, zero = fitting_grid(in_blocks(left, grain), grain)
        integers = np.empty(left.shape, np.int8 if grain.symmetric else np.uint8)
        for start in range(0, columns, max(_LAZY, grain.block)):
            end = min(start + max(_LAZY, grain.block), columns)
            errors = np.empty((rows, end - start), np.float32)
            for column in range(start, end):
                part = column // block
                if grain.block and column % block == 0:
                    fresh = left[:, column : column + block]
                    new_scale, new_zero = fitting_grid(fresh[:, None, :], grain)
                    scale[:, part] = new_scale[:, 0]
                    if zero is not None and new_zero is not None:
                        zero[:, part] = new_zero[:, 0]
                one = _one_column(left[:, column], scale[:, part], None if zero is None else zero[:, part], grain)
                integers[:, column] = one.integers[:, 0]
                error = (left[:, column] - one.values()[:, 0]) / self.factor[column, column]
                errors[:, column - start] = error
                left[:, column:end] -= error[:, None] * self.factor[column, column:end]
            left[:, end:] -= errors @ self.factor[start:end, end:]
        return Codes(integers, scale, zero)


def _one_column(values: Array, scale: Array, zero_point: Array | None, grain: Grain) -> Codes:
    zero = None if zero_point is None else zero_point[:, None]
    return encode(values[:, None], scale[:, None], zero, grain)
