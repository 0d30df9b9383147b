"""Takes values from palettes one column at a time, with each column's error made good by the columns that follow.

This is the way of GPTQ (E. Frantar et al., 2022), with palettes in the place of its grids: what stays small is the
error of the product on the calibration data, and not that of the weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from edgetool_passes.palettes.clustered import Clustered, Group

if TYPE_CHECKING:
    import numpy as np

    from edgetool_passes.weight_only.layout import Layout

    Array = np.ndarray[Any, Any]

Choose: TypeAlias = "Callable[[int, Array, Array], tuple[Array, Array]]"
"""A column's place, its numbers and which are zero, to indices and the values that they stand for."""

_LAZY = 128  # columns whose errors are carried over to the rest at once


def compensated(weight: Array, groups: Sequence[Group], layout: Layout, factor: Array) -> Clustered:
    """Cluster a weight for what it is multiplied by.

    Args:
        weight: float32, of the layout's shape.
        groups: its palettes.
        layout: how it becomes a matrix [rows, columns] whose columns are summed over.
        factor: float32 [columns, columns], of `edgetool_passes.weight_only.gptq.Compensation`.
    """
    import numpy as np

    matrix = layout.matrix(weight, slice(None))
    choose = _by_column(groups) if layout.grain.axis else _by_row(groups)
    indices = np.empty(weight.shape, np.uint8)
    layout.put(indices, slice(None), _walk(matrix, factor, choose))
    return Clustered(groups, indices, weight.dtype)


def _walk(matrix: Array, factor: Array, choose: Choose) -> Array:
    import numpy as np

    left = matrix.copy()
    is_zero = matrix == 0
    rows, columns = left.shape
    indices = np.empty(left.shape, np.uint8)
    for start in range(0, columns, _LAZY):
        end = min(start + _LAZY, columns)
        errors = np.empty((rows, end - start), np.float32)
        for column in range(start, end):
            indices[:, column], values = choose(column, left[:, column], is_zero[:, column])
            error = (left[:, column] - values) / factor[column, column]
            errors[:, column - start] = error
            left[:, column:end] -= error[:, None] * factor[column, column:end]
        left[:, end:] -= errors @ factor[start:end, end:]
    return indices


def _by_column(groups: Sequence[Group]) -> Choose:
    """The weight's first axis runs along the columns: one palette for each."""
    palettes = [group.codebook.palette for group in groups]
    step = groups[0].rows.stop

    def choose(column: int, numbers: Array, is_zero: Array) -> tuple[Array, Array]:
        place = column // step
        found = groups[place].codebook.indices(numbers, is_zero)
        return found, palettes[place][found]

    return choose


def _by_row(groups: Sequence[Group]) -> Choose:
    """The weight's first axis runs along the rows: each column meets all palettes."""
    import numpy as np

    def choose(column: int, numbers: Array, is_zero: Array) -> tuple[Array, Array]:
        found = np.empty(len(numbers), np.uint8)
        values = np.empty(len(numbers), np.float64)
        for group in groups:
            there = group.rows
            found[there] = group.codebook.indices(numbers[there], is_zero[there])
            values[there] = group.codebook.palette[found[there]]
        return found, values

    return choose
