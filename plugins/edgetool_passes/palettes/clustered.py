"""A weight whose numbers come from palettes, kept as indices until it is written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool_passes.palettes.codebook import Codebook, fitting
from edgetool_passes.palettes.wishes import Wishes

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Group:
    """Indices of a weight's first axis that share a palette."""

    rows: slice
    codebook: Codebook


@dataclass(frozen=True, eq=False)
class Clustered:
    """A weight as indices.

    Attributes:
        groups: along the first axis.
        indices: uint8, the weight's shape.
        dtype: of the weight.
    """

    groups: Sequence[Group]
    indices: Array
    dtype: np.dtype[Any]

    def values(self) -> Array:
        """The weight."""
        import numpy as np

        restored = np.empty(self.indices.shape, self.dtype)
        for group in self.groups:
            restored[group.rows] = group.codebook.palette.astype(self.dtype)[self.indices[group.rows]]
        return restored

    @property
    def palette_values(self) -> int:
        """How many values all palettes have together."""
        return sum(len(group.codebook.palette) for group in self.groups)

    def coded_bits(self) -> float:
        """What an ideal code takes for the indices, without the palettes."""
        import numpy as np

        bits = 0.0
        for group in self.groups:
            counts = np.bincount(self.indices[group.rows].reshape(-1))
            counts = counts[counts > 0]
            bits -= float((counts * np.log2(counts / counts.sum())).sum())
        return bits


def groups_of(weight: Array, wishes: Wishes) -> list[Group]:
    """Palettes for a weight, one for as many of its rows as hold `wishes.group` values."""
    return [Group(rows, fitting(weight[rows], wishes)) for rows in _rows(weight.shape, wishes.group)]


def _rows(shape: tuple[int, ...], group: int) -> Iterator[slice]:
    row = math.prod(shape[1:])
    step = max(1, group // row) if group else shape[0]
    for start in range(0, shape[0], step):
        yield slice(start, min(start + step, shape[0]))


def nearest(weight: Array, groups: Sequence[Group]) -> Clustered:
    """Every number by itself takes the value that suits it."""
    import numpy as np

    indices = np.empty(weight.shape, np.uint8)
    for group in groups:
        numbers = weight[group.rows]
        indices[group.rows] = group.codebook.indices(numbers, numbers == 0)
    return Clustered(groups, indices, weight.dtype)
