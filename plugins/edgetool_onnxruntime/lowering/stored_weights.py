"""Weights that are stored as integers and dequantized, in the two forms that kernels take them in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import onnx

    from edgetool.qdq.index import GraphIndex

    Array = np.ndarray[Any, Any]

MICROSOFT = "com.microsoft"
"""Domain of the operators that only ONNX Runtime has."""
_BITS = {"uint4": 4, "int4": 4, "uint8": 8, "int8": 8}
_BLOCKS = (128, 64, 32, 16)
"""Sizes for weights with one scale for a whole row; larger ones are faster, and every kernel has these."""


@dataclass(frozen=True, eq=False)
class StoredWeight:
    """The DequantizeLinear of a stored weight, and what it reads.

    Attributes:
        node: it.
        integers: int8 or uint8, the weight's shape, also where only four bits are used.
        scale: float32 or float16; a scalar, one for each index of the axis, or blocks along it.
        zero_point: integers of the same kind, like the scale; None where it is 0.
        bits: of a stored integer.
        axis: not negative.
        block: 0 for a scalar, or one for each index.
    """

    node: onnx.NodeProto
    integers: Array
    scale: Array
    zero_point: Array | None
    bits: int
    axis: int
    block: int

    @property
    def name(self) -> str:
        """Of the stored integers."""
        return str(self.node.input[0])

    @property
    def output(self) -> str:
        """Of the dequantized weight."""
        return str(self.node.output[0])


def stored_weights(index: GraphIndex) -> Iterator[StoredWeight]:
    """All weights of 4 or 8 bits that wait behind a DequantizeLinear of their own."""
    for output, node in index.producers.items():
        if node.op_type == "DequantizeLinear" and node.output[0] == output and index.is_stored(node.input[0]):
            weight = _read(node, index)
            if weight is not None:
                yield weight


def is_dequantized_activation(name: str, index: GraphIndex) -> bool:
    """Whether a tensor comes out of a DequantizeLinear that reads something computed: its readers have int8 kernels."""
    producer = index.producers.get(name)
    return producer is not None and producer.op_type == "DequantizeLinear" and not index.is_stored(producer.input[0])


def _read(node: onnx.NodeProto, index: GraphIndex) -> StoredWeight | None:
    from edgetool.qdq.index import attribute

    values, scale = index.values(node.input[0]), index.constant(node.input[1])
    zero_point = index.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    if scale is None or values.dtype.name not in _BITS or (len(node.input) > 2 and zero_point is None):
        return None
    axis = attribute(node, "axis", 1)
    return StoredWeight(
        node=node,
        integers=_bytes(values),
        scale=scale,
        zero_point=_bytes(zero_point) if zero_point is not None and zero_point.any() else None,
        bits=_BITS[values.dtype.name],
        axis=axis + values.ndim if axis < 0 else axis,
        block=attribute(node, "block_size", 0),
    )


def _bytes(values: Array) -> Array:
    """Four-bit integers in a byte each; their sign stays."""
    import numpy as np

    return values.astype(np.uint8 if values.dtype.name.startswith("uint") else np.int8)


@dataclass(frozen=True, eq=False)
class BlockMatrix:
    """A weight as the kernels for blocks take it: unsigned, with the summed axis last.

    Attributes:
        integers: uint8 [rows, columns].
        scale: [rows, blocks].
        zero_point: uint8 [rows, blocks]; None for the middle of the integers' range.
        bits: 4 or 8.
        block: columns that share a scale; the last block of a row may be shorter.
    """

    integers: Array
    scale: Array
    zero_point: Array | None
    bits: int
    block: int

    def packed(self) -> Array:
        """uint8 [rows, blocks, bytes]: the integers, rows filled up with zeros to whole blocks."""
        import numpy as np

        rows, columns = self.integers.shape
        blocks = self.scale.shape[1]
        whole = np.pad(self.integers, ((0, 0), (0, blocks * self.block - columns)))
        return _halves(whole, self.bits).reshape(rows, blocks, -1)

    def packed_rows(self) -> Array:
        """uint8 [rows, bytes]: the integers, not filled up."""
        return _halves(self.integers, self.bits)

    def packed_zero_point(self) -> Array | None:
        """uint8 [rows, bytes]; None where there is none."""
        return None if self.zero_point is None else _halves(self.zero_point, self.bits)


def block_matrix(weight: StoredWeight, *, rows: int) -> BlockMatrix | None:
    """The weight in blocks along its columns, if that is what it is, or has one scale a row.

    Args:
        weight: it.
        rows: axis of the weight that becomes the rows: 0 or 1.
    """
    if weight.integers.ndim != 2:
        return None
    integers = _turned(weight.integers, rows)
    if weight.block:
        if weight.axis == rows or weight.block < _BLOCKS[-1] or weight.block & (weight.block - 1):
            return None
        block = weight.block
        scale = _turned(weight.scale, rows)
        zero = None if weight.zero_point is None else _turned(weight.zero_point, rows)
    else:
        if weight.scale.size > 1 and weight.axis != rows:
            return None
        block = next((size for size in _BLOCKS if integers.shape[1] % size == 0), _BLOCKS[2])
        shape = (len(integers), -(-integers.shape[1] // block))
        scale = _spread(weight.scale, shape)
        zero = None if weight.zero_point is None else _spread(weight.zero_point, shape)
    return _unsigned(BlockMatrix(integers, scale, zero, weight.bits, block))


def _turned(values: Array, rows: int) -> Array:
    import numpy as np

    return np.ascontiguousarray(values if rows == 0 else values.T)


def _spread(values: Array, shape: tuple[int, int]) -> Array:
    """The number of each row for all of its blocks."""
    import numpy as np

    return np.ascontiguousarray(np.broadcast_to(values.reshape(-1, 1), shape))


def _unsigned(matrix: BlockMatrix) -> BlockMatrix:
    import numpy as np

    middle, zero = 1 << matrix.bits - 1, matrix.zero_point
    if matrix.integers.dtype == np.uint8:
        nowhere = np.zeros(matrix.scale.shape, np.uint8)
        return BlockMatrix(matrix.integers, matrix.scale, nowhere if zero is None else zero, matrix.bits, matrix.block)
    integers = (matrix.integers.astype(np.int16) + middle).astype(np.uint8)
    shifted = None if zero is None else (zero.astype(np.int16) + middle).astype(np.uint8)
    return BlockMatrix(integers, matrix.scale, shifted, matrix.bits, matrix.block)


def _halves(values: Array, bits: int) -> Array:
    """Two four-bit integers of a row in a byte, the first in its lower half; eight-bit ones as they are."""
    import numpy as np

    if bits == 8:
        return values
    even = np.pad(values, ((0, 0), (0, values.shape[1] % 2)))
    packed: Array = even[:, 0::2] | even[:, 1::2] << 4
    return packed


def import_operators(model: onnx.ModelProto) -> None:
    """Let a model use ONNX Runtime's own operators."""
    import onnx.helper

    if all(entry.domain != MICROSOFT for entry in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid(MICROSOFT, 1))
