"""Weights behind a DequantizeLinear: what they are in float, and whether int8 of TensorRT's own makes them the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgetool.qdq.index import GraphIndex, attribute

if TYPE_CHECKING:
    import numpy as np
    import onnx

_TYPES = frozenset({"int8", "uint8", "int32"})
_LIMIT = 127


def is_plain(node: onnx.NodeProto, index: GraphIndex) -> bool:
    """Whether it dequantizes a stored array of a type whose values float holds, one scale a channel or in all."""
    values, scale = _stored(node.input[0], index), index.constant(node.input[1])
    if values is None or scale is None or scale.ndim > 1 or attribute(node, "block_size", 0):
        return False
    return values.dtype.name in _TYPES


def _stored(name: str, index: GraphIndex) -> np.ndarray[Any, Any] | None:
    """The integers of a constant, also where a QuantizeLinear makes them of stored floats."""
    values = index.constant(name)
    producer = index.producers.get(name)
    if values is not None or producer is None or producer.op_type != "QuantizeLinear":
        return values
    return _quantized(producer, index)


def _quantized(node: onnx.NodeProto, index: GraphIndex) -> np.ndarray[Any, Any] | None:
    """What a QuantizeLinear makes of a stored float array; None for what it computes otherwise."""
    import numpy as np

    values, scale = index.constant(node.input[0]), index.constant(node.input[1])
    zero = index.constant(node.input[2]) if len(node.input) > 2 else np.zeros((), np.uint8)
    if values is None or scale is None or zero is None or zero.dtype.name not in _TYPES or scale.ndim > 1:
        return None
    limits, axis = np.iinfo(zero.dtype), attribute(node, "axis", 1)
    steps = np.rint(values / _along(scale, axis, values.ndim)) + _along(zero, axis, values.ndim)
    integers: np.ndarray[Any, Any] = np.clip(steps, limits.min, limits.max).astype(zero.dtype)
    return integers


def dequantized(node: onnx.NodeProto, index: GraphIndex) -> np.ndarray[Any, Any]:
    """The floats that a plain one stands for, of its scale's type."""
    import numpy as np

    values, scale = _stored(node.input[0], index), index.constant(node.input[1])
    if values is None or scale is None:
        raise ValueError(f"{node.name!r} was to be refused before")
    axis = attribute(node, "axis", 1)
    steps = values.astype(np.float32) - _along(_zero(node, index), axis, values.ndim).astype(np.float32)
    result: np.ndarray[Any, Any] = (steps * _along(scale, axis, values.ndim)).astype(scale.dtype)
    return result


def _zero(node: onnx.NodeProto, index: GraphIndex) -> np.ndarray[Any, Any]:
    import numpy as np

    zero = index.constant(node.input[2]) if len(node.input) > 2 else None
    return np.zeros((), np.int8) if zero is None else zero


def _along(values: np.ndarray[Any, Any], axis: int, rank: int) -> np.ndarray[Any, Any]:
    """One value a channel, shaped to multiply an array of that rank."""
    if values.size == 1:
        return values.reshape(())
    shape = [1] * rank
    shape[axis] = -1
    return values.reshape(shape)


def comes_back(node: onnx.NodeProto, index: GraphIndex) -> bool:
    """Whether TensorRT, which scales each channel by its largest value, comes back to the very same integers.

    Biases are no matter: TensorRT keeps those in float.
    """
    import numpy as np

    values = _stored(node.input[0], index)
    if values is None or values.dtype == np.int32 or values.ndim < 2:
        return True
    if values.dtype != np.int8 or _zero(node, index).any():
        return False
    scale = index.constant(node.input[1])
    axis = attribute(node, "axis", 1) if scale is not None and scale.size > 1 else 0
    channels = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1).astype(np.int32)
    peaks = np.abs(channels).max(axis=1)
    return bool(((peaks == _LIMIT) | (peaks == 0)).all())
