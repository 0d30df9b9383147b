"""Tensors seen as the vectors of their channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


def vectors(values: Array, *, first: bool) -> Array:
    """A tensor as float64 [rows, channels].

    Args:
        values: of any shape.
        first: whether axis 1 holds the channels; else the last.
    """
    import numpy as np

    moved = np.moveaxis(values, 1, -1) if first else values
    return moved.reshape(-1, moved.shape[-1]).astype(np.float64)
