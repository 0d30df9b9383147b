"""A weight of any shape as rows of numbers that share scales, and the way back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool_passes.weight_only.grain import Grain

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_AT_ONCE = 1 << 20
"""Values that are worked on together: few enough for a processor's cache, enough to keep numpy busy."""
_STRIP = 16
"""Columns that are turned into rows at once: a cache line of float32, which makes turning four times as fast."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a weight becomes a matrix [rows, columns].

    With blocks, the blocked axis runs along the columns and all others along the rows. Without, every index of the
    axis is a row.

    Attributes:
        shape: of the weight.
        grain: its axis and blocks.
    """

    shape: tuple[int, ...]
    grain: Grain

    @property
    def columns(self) -> int:
        length = self.shape[self.grain.axis]
        return length if self.grain.block else math.prod(self.shape) // length

    @property
    def scale_shape(self) -> tuple[int, ...]:
        """As DequantizeLinear wants the scales: like the weight with fewer along the axis, or one dimension."""
        axis, block = self.grain.axis, self.grain.block
        if not block:
            return (self.shape[axis],)
        return (*self.shape[:axis], self.shape[axis] // block, *self.shape[axis + 1 :])

    def view(self, values: Array) -> Array:
        """An array of the weight's rank with the axis moved last for blocks, first without; nothing is copied."""
        import numpy as np

        return np.moveaxis(values, self.grain.axis, -1 if self.grain.block else 0)

    def parts(self) -> Iterator[slice]:
        """Ranges of the first axis of a view, each a few megabytes of the weight."""
        first = 1 if self.grain.block and self.grain.axis == 0 else 0
        length = self.shape[first if self.grain.block else self.grain.axis]
        step = max(1, _AT_ONCE * length // max(1, math.prod(self.shape)))
        for start in range(0, length, step):
            yield slice(start, min(start + step, length))

    def matrix(self, values: Array, part: slice) -> Array:
        """float32 [rows, columns]: a part of a weight."""
        import numpy as np

        source = self.view(values)[part]
        copy = np.empty(source.shape, np.float32)
        width = source.shape[-1] if source.flags.c_contiguous else _STRIP
        for start in range(0, source.shape[-1], width):
            copy[..., start : start + width] = source[..., start : start + width]
        return copy.reshape(-1, self.columns)

    def put(self, target: Array, part: slice, rows: Array) -> None:
        """Write rows of integers, or of one number a block, where they belong in an array of weight or scale shape."""
        place = self.view(target) if target.ndim == len(self.shape) else target
        place[part] = rows.reshape(place[part].shape)
