"""Makes a part smaller beyond its nodes: fewer outputs, fewer inputs, and weights that hold nothing of the original."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from edgetool.graph.element import ELEMENTS

if TYPE_CHECKING:
    import onnx

_FILLS: Mapping[str, float] = MappingProxyType(
    {"float32": 0.0625, "float16": 0.0625, "bfloat16": 0.0625, "float64": 0.0625, "int8": 1, "uint8": 1}
)
"""What weights are filled with: exact in every float type, and never a divisor of zero."""
_WORTH_A_NODE = 1024
"""Elements from which on a weight is computed by a node instead of being stored."""


def with_fewer_outputs(part: onnx.ModelProto) -> Iterator[onnx.ModelProto]:
    """The part without one of its outputs, once for each; nothing when it has only one."""
    for index in range(len(part.graph.output) if len(part.graph.output) > 1 else 0):
        smaller = _copy(part)
        del smaller.graph.output[index]
        yield smaller


def with_fewer_inputs(part: onnx.ModelProto) -> Iterator[onnx.ModelProto]:
    """The part with one of its inputs turned into a constant, once for each; nothing when it has only one."""
    for index, value in enumerate(part.graph.input if len(part.graph.input) > 1 else ()):
        constant = _filled(value.name, *_type_of(value))
        if constant is not None:
            smaller = _copy(part)
            del smaller.graph.input[index]
            smaller.graph.initializer.append(constant)
            yield smaller


def weights(part: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the stored tensors that could be filled."""
    return tuple(
        tensor.name for tensor in part.graph.initializer if ELEMENTS[tensor.data_type].name in _FILLS and tensor.dims
    )


def with_computed_weights(part: onnx.ModelProto, names: tuple[str, ...]) -> onnx.ModelProto:
    """The part with large ones of these weights computed by ConstantOfShape, the others stored and filled."""
    return _without_weights(part, names, worth_a_node=_WORTH_A_NODE)


def with_filled_weights(part: onnx.ModelProto, names: tuple[str, ...]) -> onnx.ModelProto:
    """The part with all elements of each of these weights alike."""
    return _without_weights(part, names, worth_a_node=None)


def _without_weights(part: onnx.ModelProto, names: tuple[str, ...], *, worth_a_node: int | None) -> onnx.ModelProto:
    import onnx.helper

    smaller = _copy(part)
    kept = [tensor for tensor in part.graph.initializer if tensor.name not in names]
    computed = []
    del smaller.graph.initializer[:]
    smaller.graph.initializer.extend(kept)
    for tensor in part.graph.initializer:
        if tensor.name in names:
            dims = tuple(tensor.dims)
            if worth_a_node is None or _count(dims) < worth_a_node:
                smaller.graph.initializer.append(_filled(tensor.name, tensor.data_type, dims) or tensor)
                continue
            shape = f"{tensor.name}/shape"
            smaller.graph.initializer.append(onnx.helper.make_tensor(shape, onnx.TensorProto.INT64, (len(dims),), dims))
            value = _filled("value", tensor.data_type, (1,))
            computed.append(onnx.helper.make_node("ConstantOfShape", [shape], [tensor.name], shape, value=value))
    nodes = [*computed, *part.graph.node]
    del smaller.graph.node[:]
    smaller.graph.node.extend(nodes)
    return smaller


def _filled(name: str, number: int, dims: tuple[int, ...] | None) -> onnx.TensorProto | None:
    """A tensor with all elements alike, or None where the type or a size does not allow it."""
    import ml_dtypes
    import numpy as np
    import onnx.numpy_helper

    kind = ELEMENTS[number].name if number in ELEMENTS else ""
    if dims is None or kind not in _FILLS:
        return None
    dtype = np.dtype(ml_dtypes.bfloat16 if kind == "bfloat16" else kind)
    return onnx.numpy_helper.from_array(np.full(dims, _FILLS[kind], dtype), name)


def _type_of(value: onnx.ValueInfoProto) -> tuple[int, tuple[int, ...] | None]:
    tensor = value.type.tensor_type
    fixed = all(dim.HasField("dim_value") for dim in tensor.shape.dim)
    return tensor.elem_type, tuple(dim.dim_value for dim in tensor.shape.dim) if fixed else None


def _count(dims: tuple[int, ...]) -> int:
    count = 1
    for dim in dims:
        count *= dim
    return count


def _copy(part: onnx.ModelProto) -> onnx.ModelProto:
    copy = type(part)()
    copy.CopyFrom(part)
    return copy
