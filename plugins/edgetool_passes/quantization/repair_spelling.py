"""Spells Q/DQ out: ONNX's own operators, and a zero point wherever its absence means uint8."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgetool.qdq.editor import GraphEditor
from edgetool.qdq.index import GraphIndex, attribute

if TYPE_CHECKING:
    import numpy as np
    import onnx

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
_CONTRIBUTED = "com.microsoft"
_UINT8 = 2  # onnx.TensorProto.UINT8
_EIGHT_BITS = frozenset({_UINT8, 3, 6})
"""uint8, int8, and the int32 of biases: types that ONNX's own operators have taken since opset 13."""


def spell_out(graph: onnx.GraphProto) -> tuple[str, ...]:
    """Make Q/DQ of another domain ONNX's own, and give unsigned tensors the zero point that they imply.

    Args:
        graph: edited in place.

    Returns:
        Names of the nodes that changed their domain.
    """
    adopted = _adopt(graph)
    _imply_zero_points(graph)
    return adopted


def _adopt(graph: onnx.GraphProto) -> tuple[str, ...]:
    """ONNX Runtime's own Q/DQ compute the same as ONNX's where the types are the same."""
    index = GraphIndex(graph)
    foreign = [node for node in graph.node if node.domain == _CONTRIBUTED and node.op_type in (QUANTIZE, DEQUANTIZE)]
    adopted = [node for node in foreign if _stored_type(node, index) in _EIGHT_BITS]
    for node in adopted:
        node.domain = ""
    return tuple(node.name or node.output[0] for node in adopted)


def _stored_type(node: onnx.NodeProto, index: GraphIndex) -> int | None:
    """Element type of a zero point; of the stored integers where there is none. uint8 is QuantizeLinear's default."""
    names = node.input[2:3] or (node.input[:1] if node.op_type == DEQUANTIZE else ())
    tensor = index.initializers.get(names[0]) if names else None
    if tensor is not None:
        return int(tensor.data_type)
    return _UINT8 if node.op_type == QUANTIZE and not names else None


def _imply_zero_points(graph: onnx.GraphProto) -> None:
    """A QuantizeLinear without zero point and type makes uint8, around zero at its lower end."""
    import numpy as np

    index = GraphIndex(graph)
    editor = GraphEditor(graph)
    for node in list(graph.node):
        scale = index.constant(node.input[1]) if node.op_type == QUANTIZE else None
        if scale is None or attribute(node, "output_dtype", _UINT8) != _UINT8:
            continue
        if len(node.input) == 2:
            node.input.append(editor.constant(np.zeros(scale.shape, np.uint8), f"{node.output[0]}_zero_point"))
        elif _is_moved(index.constant(node.input[2])):
            continue
        for reader in index.readers.get(node.output[0], []):
            if reader.op_type == DEQUANTIZE and len(reader.input) == 2:
                reader.input.append(node.input[2])
    editor.commit()


def _is_moved(zero_point: np.ndarray[Any, Any] | None) -> bool:
    """Whether it is anything else than the zeros of uint8, which a DequantizeLinear may leave out."""
    return zero_point is None or zero_point.dtype.name != "uint8" or bool(zero_point.any())
