"""What a graph computes in, read from its operators and weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgetool.graph.element import ELEMENTS
from edgetool.graph.walk import graphs

if TYPE_CHECKING:
    import onnx

_QUANTIZERS = frozenset({"QuantizeLinear", "DynamicQuantizeLinear"})
_WEIGHT_ONLY = frozenset({"DequantizeLinear", "GatherBlockQuantized", "MatMulNBits"})
_FLOATS = frozenset({"float32", "float16", "bfloat16", "float64"})


def is_integer_kernel(op_type: str) -> bool:
    """True for operators that multiply integers: QLinearConv, QGemm, MatMulIntegerToFloat, ..."""
    return op_type.startswith(("QLinear", "QGemm", "QAttention", "DynamicQuantize")) or "Integer" in op_type


def declared_precision(proto: onnx.ModelProto) -> str:
    """`int8` when activations are quantized, `mixed` for quantized weights alone or for several float types.

    Args:
        proto: the model; its weights need not be loaded.
    """
    parts = list(graphs(proto.graph))
    operators = {node.op_type for graph in parts for node in graph.node}
    if operators & _QUANTIZERS or any(map(is_integer_kernel, operators)):
        return "int8"
    if operators & _WEIGHT_ONLY:
        return "mixed"
    # Vectors and scalars are left out: Resize takes float32 scales in a float16 model, too.
    weights = {
        ELEMENTS[tensor.data_type].name for graph in parts for tensor in graph.initializer if len(tensor.dims) > 1
    }
    inputs = {ELEMENTS[value.type.tensor_type.elem_type].name for value in proto.graph.input}
    floats = weights & _FLOATS or inputs & _FLOATS or {"float32"}
    return floats.pop() if len(floats) == 1 else "mixed"
