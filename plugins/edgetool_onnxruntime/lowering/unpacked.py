"""Stored integers that no kernel multiplies: widened when the engine is opened, not on every run.

ONNX Runtime never folds a DequantizeLinear, because it may belong to a quantized operator. Spelled as Cast, Sub and Mul
the same numbers are computed once, and the operator behind them is as fast as in float; the file keeps the integers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgetool_onnxruntime.lowering.stored_weights import StoredWeight, is_dequantized_activation, stored_weights

if TYPE_CHECKING:
    import numpy as np
    import onnx

    from edgetool.qdq.editor import GraphEditor
    from edgetool.qdq.index import GraphIndex

_LOOKED_UP = frozenset({"Gather"})
"""Tables are widened row by row instead."""


def widen_on_load(graph: onnx.GraphProto) -> int:
    """Spell the dequantization of stored float32 weights in operators that ONNX Runtime folds; how many there were.

    Weights of operators whose input is quantized, too, are left alone: those are integer kernels.

    Args:
        graph: edited in place.
    """
    from edgetool.qdq.editor import GraphEditor
    from edgetool.qdq.index import GraphIndex

    index = GraphIndex(graph)
    editor = GraphEditor(graph)
    count = 0
    for weight in stored_weights(index):
        if weight.scale.dtype.name == "float32" and _is_for_float(weight, index) and _is_whole(weight):
            _spell(editor, weight)
            count += 1
    editor.commit()
    return count


def _is_for_float(weight: StoredWeight, index: GraphIndex) -> bool:
    readers = index.readers.get(weight.output, [])
    return bool(readers) and not any(
        node.op_type in _LOOKED_UP or any(is_dequantized_activation(name, index) for name in node.input)
        for node in readers
    )


def _is_whole(weight: StoredWeight) -> bool:
    """Whether the blocks divide their axis, so that a reshape can tell them apart."""
    return not weight.block or weight.integers.shape[weight.axis] % weight.block == 0


def _spell(editor: GraphEditor, weight: StoredWeight) -> None:
    """`Mul(Sub(Cast(integers), zero point), scale)`, with an axis more where there are blocks."""
    import numpy as np
    import onnx

    shape, name, result = weight.integers.shape, weight.name, weight.output
    apart = _apart(weight)
    stored = name if apart == shape else _stored_as(editor, name, apart)
    editor.retire(weight.node)
    floats = editor.node("Cast", (stored,), f"{name}_float", to=onnx.TensorProto.FLOAT)
    if weight.zero_point is not None:
        zero = editor.constant(_spread(weight.zero_point, weight).astype(np.float32), f"{name}_float_zero_point")
        floats = editor.node("Sub", (floats, zero), f"{name}_shifted")
    scale = editor.constant(_spread(weight.scale, weight), f"{name}_float_scale")
    if apart == shape:
        editor.node_named("Mul", (floats, scale), result)
        return
    scaled = editor.node("Mul", (floats, scale), f"{name}_scaled")
    whole = editor.constant(np.array(shape, np.int64), f"{name}_shape")
    editor.node_named("Reshape", (scaled, whole), result)


def _apart(weight: StoredWeight) -> tuple[int, ...]:
    """The weight's shape with its blocks on an axis of their own."""
    shape, axis, block = weight.integers.shape, weight.axis, weight.block
    return (*shape[:axis], shape[axis] // block, block, *shape[axis + 1 :]) if block else shape


def _stored_as(editor: GraphEditor, name: str, shape: tuple[int, ...]) -> str:
    """Store the same integers in another shape; four-bit ones stay two in a byte."""
    from onnx import numpy_helper

    (tensor,) = (tensor for tensor in editor.graph.initializer if tensor.name == name)
    return editor.constant(numpy_helper.to_array(tensor).reshape(shape), f"{name}_blocks")


def _spread(values: np.ndarray[Any, Any], weight: StoredWeight) -> np.ndarray[Any, Any]:
    """Scales or zero points in a shape that broadcasts over the integers."""
    import numpy as np

    if weight.block:
        return np.expand_dims(values, weight.axis + 1)
    return values.reshape([-1 if place == weight.axis else 1 for place in range(weight.integers.ndim)])
