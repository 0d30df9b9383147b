"""What a typed ONNX computes in: precision is in the graph and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgetool.graph.element import ELEMENTS
from edgetool.graph.walk import graphs

if TYPE_CHECKING:
    import onnx

_QUANTIZERS = frozenset({"QuantizeLinear", "DynamicQuantizeLinear"})
_WEIGHTS_ALONE = frozenset({"DequantizeLinear", "MatMulNBits", "GatherBlockQuantized"})
_FLOATS = frozenset({"float32", "float16", "bfloat16", "float64"})
_EIGHT_BIT_FLOATS = frozenset({"float8_e4m3fn", "float8_e5m2"})


def is_integer_kernel(op_type: str) -> bool:
    """True for operators that multiply integers: QLinearConv, QGemm, MatMulIntegerToFloat, ..."""
    return op_type.startswith(("QLinear", "QGemm", "QAttention", "DynamicQuantize")) or "Integer" in op_type


def declared_precision(proto: onnx.ModelProto) -> str:
    """`int8` when activations are quantized to it; `mixed` for float8, for weights alone, and for several float types.

    Args:
        proto: the model; its weights need not be loaded.
    """
    parts = list(graphs(proto.graph))
    operators = {node.op_type for graph in parts for node in graph.node}
    constants = [(ELEMENTS[one.data_type].name, len(one.dims)) for graph in parts for one in graph.initializer]
    quantized = operators & _QUANTIZERS or any(map(is_integer_kernel, operators))
    if quantized and not {name for name, _ in constants} & _EIGHT_BIT_FLOATS:
        return "int8"
    if quantized or operators & _WEIGHTS_ALONE:
        return "mixed"
    # Vectors and scalars do not count: Resize takes float32 scales in a float16 model, too.
    stored = {name for name, rank in constants if rank > 1}
    inputs = {ELEMENTS[value.type.tensor_type.elem_type].name for value in proto.graph.input}
    floats = stored & _FLOATS or inputs & _FLOATS or {"float32"}
    return floats.pop() if len(floats) == 1 else "mixed"
