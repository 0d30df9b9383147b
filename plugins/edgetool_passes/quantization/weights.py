"""Weights in int8: symmetric, one scale for each channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool.qdq.editor import GraphEditor

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, eq=False)
class Int8Weight:
    """An integer weight and what it stands for: `integers * scale`.

    Attributes:
        integers: int8, the shape of the float weight.
        scale: float32; one value a channel, or a scalar.
        axis: the channels' axis of `integers`.
    """

    integers: np.ndarray[Any, Any]
    scale: np.ndarray[Any, Any]
    axis: int

    def dequantized(self) -> np.ndarray[Any, Any]:
        """float32: what the integers stand for."""
        shape = [1] * self.integers.ndim
        if self.scale.ndim:
            shape[self.axis] = -1
        values: np.ndarray[Any, Any] = self.integers * self.scale.reshape(shape)
        return values


def quantize_weight(values: np.ndarray[Any, Any], *, axis: int, bits: int, per_channel: bool) -> Int8Weight:
    """Round to the nearest integer in ±(2^(bits-1) - 1): the smallest int8 is never used, so zero is in the middle.

    Args:
        values: float32, any shape.
        axis: the channels' axis.
        bits: 8; or 7 for processors whose kernels add two products in 16 bits, where 8 could saturate.
        per_channel: one scale a channel instead of one in all.
    """
    import numpy as np

    limit = 2 ** (bits - 1) - 1
    others = tuple(i for i in range(values.ndim) if i != axis) if per_channel else None
    largest = np.abs(values).max(axis=others, keepdims=per_channel)
    scale = np.where(largest > 0, largest / np.float32(limit), np.float32(1)).astype(np.float32)
    integers = np.clip(np.rint(values / scale), -limit, limit).astype(np.int8)
    return Int8Weight(integers, scale.reshape(-1) if per_channel else scale.reshape(()), axis)


def store_weight(editor: GraphEditor, weight: Int8Weight, wish: str) -> str:
    """Store the integers and dequantize them in the graph; the name of the float tensor that comes out."""
    import numpy as np

    inputs = [
        editor.constant(weight.integers, f"{wish}_int8"),
        editor.constant(weight.scale, f"{wish}_scale"),
        editor.constant(np.zeros(weight.scale.shape, np.int8), f"{wish}_zero_point"),
    ]
    axis = {"axis": weight.axis} if weight.scale.ndim else {}
    return editor.node("DequantizeLinear", inputs, f"{wish}_dequantized", **axis)
