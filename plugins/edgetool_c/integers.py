"""Lowering: what stands between Q/DQ pairs is computed in integers, so that int8 weights stay int8 in flash.

The generator would otherwise unpack every quantized weight into a float buffer in RAM, four times its size. The
products are exact in 32 bits; one multiplication a channel then gives the float that the Q/DQ form gives.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool.artifact import Lowering
from edgetool.qdq.editor import GraphEditor
from edgetool.qdq.index import GraphIndex, attribute
from edgetool_c.quantized import Ending, ending_of, integer_bias, write_ending

if TYPE_CHECKING:
    import numpy as np
    import onnx

_WINDOW = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
"""Attributes that Conv, ConvInteger and QLinearConv share."""


@dataclass(frozen=True)
class _Activation:
    """A quantized tensor: integers, and what they mean."""

    integers: str
    scale: np.ndarray[Any, Any]
    zero_point: str


@dataclass(frozen=True)
class _Weight:
    """Stored integers with zero points of 0.

    Attributes:
        integers: the array.
        name: of the initializer.
        scale: of one element, or one for each output channel.
    """

    integers: np.ndarray[Any, Any]
    name: str
    scale: np.ndarray[Any, Any]


_SUMMARIES = {
    "integer-products": "products of int8 values are summed in int32 instead of being unpacked to float: weights stay "
    "in flash",
    "integer-results": "convolutions that are quantized right away give integers right away, with biases rounded to "
    "steps of their sums: activations stay int8 in RAM",
}
"""What a rewrite is called, and what it says of itself."""


def in_integers(model: onnx.ModelProto) -> tuple[Lowering, ...]:
    """Rewrite quantized Conv, Gemm and MatMul nodes, in place."""
    graph = model.graph
    editor, index = GraphEditor(graph), GraphIndex(graph)
    rewriters = {"Conv": _rewrite_conv, "Gemm": _rewrite_gemm, "MatMul": _rewrite_matmul}
    made = Counter(
        rewriters[node.op_type](node, editor, index)
        for node in list(graph.node)
        if node.op_type in rewriters and node.domain in ("", "ai.onnx")
    )
    editor.commit()
    return tuple(Lowering(name, summary, made[name]) for name, summary in _SUMMARIES.items() if made[name])


def _rewrite_conv(node: onnx.NodeProto, editor: GraphEditor, index: GraphIndex) -> str | None:
    weight = _weight(node.input[1], index, axis=0)
    activation = _activation(node.input[0], index)
    bias = _bias(node, index)
    if weight is None or activation is None or bias is None:
        return None
    scale, rank = activation.scale * weight.scale, weight.integers.ndim
    ending = ending_of(node, index)
    steps = integer_bias(bias, scale, ending, channels=len(weight.integers)) if ending else None
    if ending is not None and steps is not None:
        _quantized_conv(node, editor, weight, activation, steps, ending)
        return "integer-results"
    output = node.output[0]
    editor.retire(node)
    sums = editor.node("ConvInteger", (activation.integers, weight.name, activation.zero_point), f"{output}_sums")
    _copy_window(node, editor, sums)
    _scaled(editor, sums, output, scale, bias, shape=(1, -1, *(1,) * (rank - 2)))
    return "integer-products"


def _quantized_conv(
    node: onnx.NodeProto,
    editor: GraphEditor,
    weight: _Weight,
    activation: _Activation,
    bias: np.ndarray[Any, Any],
    ending: Ending,
) -> None:
    import numpy as np

    name, result = node.output[0], ending.quantize.output[0]
    for row in (node, *ending.nodes):
        editor.retire(row)
    stored = (
        editor.constant(activation.scale.reshape(()), f"{name}_x_scale"),
        editor.constant(weight.scale if weight.scale.size > 1 else weight.scale.reshape(()), f"{name}_w_scale"),
        editor.constant(np.zeros(weight.scale.shape if weight.scale.size > 1 else (), np.int8), f"{name}_w_zero"),
        editor.constant(bias, f"{name}_steps"),
    )
    inputs = (
        activation.integers, stored[0], activation.zero_point, weight.name, stored[1], stored[2],
        *ending.quantize.input[1:3], stored[3],
    )  # fmt: skip
    integers = editor.node("QLinearConv", inputs, f"{name}_integers")
    _copy_window(node, editor, integers)
    write_ending(editor, integers, ending, result)


def _copy_window(node: onnx.NodeProto, editor: GraphEditor, output: str) -> None:
    made = next(row for row in editor.graph.node if output in row.output)
    made.attribute.extend(entry for entry in node.attribute if entry.name in _WINDOW)


def _rewrite_gemm(node: onnx.NodeProto, editor: GraphEditor, index: GraphIndex) -> str | None:
    factors = [entry.f for entry in node.attribute if entry.name in ("alpha", "beta")]
    if attribute(node, "transA", 0) or any(factor != 1.0 for factor in factors):
        return None
    transposed = bool(attribute(node, "transB", 0))
    return _rewrite_product(node, editor, index, transposed=transposed)


def _rewrite_matmul(node: onnx.NodeProto, editor: GraphEditor, index: GraphIndex) -> str | None:
    return _rewrite_product(node, editor, index, transposed=False)


def _rewrite_product(node: onnx.NodeProto, editor: GraphEditor, index: GraphIndex, *, transposed: bool) -> str | None:
    weight = _weight(node.input[1], index, axis=0 if transposed else 1)
    activation = _activation(node.input[0], index)
    bias = _bias(node, index)
    if weight is None or activation is None or bias is None or weight.integers.ndim != 2:
        return None
    output = node.output[0]
    editor.retire(node)
    stored = editor.constant(weight.integers.T.copy(), f"{weight.name}_t") if transposed else weight.name
    sums = editor.node("MatMulInteger", (activation.integers, stored, activation.zero_point), f"{output}_sums")
    _scaled(editor, sums, output, activation.scale * weight.scale, bias, shape=(-1,))
    return "integer-products"


def _scaled(
    editor: GraphEditor,
    sums: str,
    output: str,
    scale: np.ndarray[Any, Any],
    bias: np.ndarray[Any, Any],
    *,
    shape: tuple[int, ...],
) -> None:
    """`output` = sums * scale + bias, both shaped for the output's channels."""
    import numpy as np

    float_sums = editor.node("Cast", (sums,), f"{output}_cast", to=1)
    factor = editor.constant(scale.astype(np.float32).reshape(shape), f"{output}_scale")
    if not bias.size:
        editor.node_named("Mul", (float_sums, factor), output)
        return
    scaled = editor.node("Mul", (float_sums, factor), f"{output}_scaled")
    editor.node_named("Add", (scaled, editor.constant(bias.reshape(shape), f"{output}_bias")), output)


def _activation(name: str, index: GraphIndex) -> _Activation | None:
    """Of a DequantizeLinear with one scale, that reads computed int8 or uint8."""
    import numpy as np

    node = index.producers.get(name)
    if node is None or node.op_type != "DequantizeLinear" or len(node.input) < 3 or index.is_stored(node.input[0]):
        return None
    scale, zero_point = index.constant(node.input[1]), index.constant(node.input[2])
    if scale is None or zero_point is None or scale.size != 1 or scale.dtype != np.float32:
        return None
    if zero_point.dtype not in (np.int8, np.uint8) or zero_point.ndim != 0:
        return None
    return _Activation(node.input[0], scale.reshape(-1), node.input[2])


def _weight(name: str, index: GraphIndex, *, axis: int) -> _Weight | None:
    """Of a DequantizeLinear that reads stored int8 with zero points of 0, scaled as a whole or along an axis."""
    import numpy as np

    node = index.producers.get(name)
    if node is None or node.op_type != "DequantizeLinear" or not index.is_stored(node.input[0]):
        return None
    integers, scale = index.values(node.input[0]), index.constant(node.input[1])
    zero_point = index.constant(node.input[2]) if len(node.input) > 2 else np.zeros(())
    if scale is None or zero_point is None or zero_point.any() or integers.dtype != np.int8:
        return None
    per_channel = scale.ndim == 1 and attribute(node, "axis", 1) % integers.ndim == axis
    if scale.dtype != np.float32 or not (scale.size == 1 or (per_channel and scale.size == integers.shape[axis])):
        return None
    return _Weight(integers, node.input[0], scale.reshape(-1))


def _bias(node: onnx.NodeProto, index: GraphIndex) -> np.ndarray[Any, Any] | None:
    """One float a channel; empty where the node has none; None where it cannot be told beforehand."""
    import numpy as np

    if len(node.input) < 3 or not node.input[2]:
        return np.zeros(0, np.float32)
    name = node.input[2]
    values = index.constant(name)
    producer = index.producers.get(name)
    if values is None and producer is not None and producer.op_type == "DequantizeLinear":
        parts = [index.constant(part) for part in producer.input]
        if any(part is None for part in parts):
            return None
        integers, scale, *zero_point = [part for part in parts if part is not None]
        values = (integers.astype(np.int64) - (zero_point[0] if zero_point else 0)).astype(np.float32) * scale
    if values is None or values.ndim != 1:
        return None
    found: np.ndarray[Any, Any] = values.astype(np.float32)
    return found
