"""Integers and scales that stand for a float matrix, and the plainest way to find them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool_passes.weight_only.grain import Grain

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_DROPPED = 13  # of a float32's 23 stored bits of fraction; 10 are left, as many as float16 has
_OF_ZEROS = 2.0**-14
"""Scale of a block of zeros: small, because kernels that add zero points in float leave some dust of it behind."""
_HALF_STEP = 2.0**-24  # from one to the next of float16's smallest numbers


@dataclass(frozen=True, eq=False)
class Codes:
    """Some rows of a matrix in integers: `(integers - zero_point) * scale`, a scale for each block of a row.

    Attributes:
        integers: int8 or uint8 [rows, columns], also where only four bits are used.
        scale: float32 [rows, blocks], never 0.
        zero_point: uint8 [rows, blocks]; None where it is 0.
    """

    integers: Array
    scale: Array
    zero_point: Array | None

    def values(self) -> Array:
        """float32 [rows, columns]: what the integers stand for."""
        import numpy as np

        rows, columns = self.integers.shape
        blocks = self.scale.shape[1]
        size = -(-columns // blocks)
        result: Array = self.integers.astype(np.float32)
        parts = result.reshape(rows, blocks, size)
        if self.zero_point is not None:
            parts -= self.zero_point[:, :, None].astype(np.float32)
        parts *= self.scale[:, :, None]
        return result


def nearest(matrix: Array, grain: Grain) -> Codes:
    """Round to the nearest integer, on the smallest grid that reaches over a block's values and zero.

    Symmetric: `s = max(max w / high, min w / low)`, `q = round(w / s)`. Asymmetric: `s = (max w - min w) / high`,
    `z = round(-min w / s)`, `q = round(w / s) + z`.

    Args:
        matrix: float32 [rows, columns], finite; the blocks divide the columns.
        grain: with the size of the blocks; 0 takes a whole row as one.
    """
    scale, zero_point = fitting_grid(in_blocks(matrix, grain), grain)
    return encode(matrix, scale, zero_point, grain)


def in_blocks(matrix: Array, grain: Grain) -> Array:
    """A view [rows, blocks, block] of a matrix."""
    rows, columns = matrix.shape
    return matrix.reshape(rows, -1, grain.block or columns)


def fitting_grid(blocks: Array, grain: Grain) -> tuple[Array, Array | None]:
    """Scale and zero point, each [rows, blocks], with which nothing is cut off.

    Args:
        blocks: float32 [rows, blocks, block].
        grain: bits and symmetry.
    """
    import numpy as np

    low, high = grain.limits
    largest, smallest = blocks.max(axis=2), blocks.min(axis=2)
    if grain.symmetric:
        return usable_scale(np.maximum(largest / np.float32(high), smallest / np.float32(low)), grain), None
    largest, smallest = np.maximum(largest, 0), np.minimum(smallest, 0)
    scale = usable_scale((largest - smallest) / np.float32(high), grain)
    return scale, np.clip(np.rint(-smallest / scale), 0, high).astype(np.uint8)


def usable_scale(scale: Array, grain: Grain) -> Array:
    """Scales that are no smaller, never 0, and have no more than the eleven bits of float16.

    Short ones lose nothing, stay the same where a runtime holds them in float16, and take half as many bytes in a
    compressed archive.
    """
    import numpy as np

    # Of subnormal scales the inverse is infinite; what they scale is as good as zero.
    usual = scale >= np.finfo(np.float32).tiny
    bits = np.where(usual, scale, np.float32(_OF_ZEROS)).astype(np.float32).view(np.uint32)
    below = np.uint32((1 << _DROPPED) - 1)
    short: Array = ((bits + below) & ~below).view(np.float32)
    if grain.half:
        short = np.ceil(short / np.float32(_HALF_STEP)) * np.float32(_HALF_STEP)
    return short


def encode(matrix: Array, scale: Array, zero_point: Array | None, grain: Grain) -> Codes:
    """The integers nearest to a matrix on given grids; what a grid does not reach is cut off."""
    import numpy as np

    low, high = grain.limits
    parts = matrix.reshape(*scale.shape, -1) * (np.float32(1) / scale)[:, :, None]
    np.rint(parts, out=parts)
    if zero_point is not None:
        parts += zero_point[:, :, None].astype(np.float32)
    np.clip(parts, low, high, out=parts)
    dtype = np.int8 if grain.symmetric else np.uint8
    return Codes(parts.reshape(matrix.shape).astype(dtype), scale, zero_point)
