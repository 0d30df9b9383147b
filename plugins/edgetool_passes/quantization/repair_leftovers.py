"""What is not symmetric after all, and why it cannot be repaired."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgetool.graph.element import ELEMENTS
from edgetool.graph.walk import graphs, node_label
from edgetool.problem import Problem
from edgetool.qdq.index import GraphIndex, attribute
from edgetool_passes.quantization.repair_spelling import DEQUANTIZE, QUANTIZE

if TYPE_CHECKING:
    import onnx

_AGAIN = "quantize the float model again, with `quantize-static`"
_SYMMETRIC = frozenset({"int8", "int4", "float8_e4m3fn", "float8_e5m2", "float4_e2m1fn"})
"""Types that are fine when their zero points are zero."""


def leftovers(graph: onnx.GraphProto) -> tuple[Problem, ...]:
    """One refusal for each reason, with all nodes that it concerns.

    Args:
        graph: after the repair.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for label, reason, fix in (*_outside(graph), *_inside(graph)):
        found.setdefault((reason, fix), []).append(label)
    return tuple(Problem(reason, tuple(labels), fix) for (reason, fix), labels in found.items())


def _outside(graph: onnx.GraphProto) -> Iterator[tuple[str, str, str]]:
    """Label, reason and fix, for nodes of the main graph."""
    index = GraphIndex(graph)
    for number, node in enumerate(graph.node):
        if node.op_type in (QUANTIZE, DEQUANTIZE) and not _is_fine(node, index):
            yield node_label(node, number), *_reason(node, index)


def _inside(graph: onnx.GraphProto) -> Iterator[tuple[str, str, str]]:
    """Nodes inside of control flow, which the repair does not reach."""
    for part in list(graphs(graph))[1:]:
        index = GraphIndex(part)
        for number, node in enumerate(part.node):
            if node.op_type in (QUANTIZE, DEQUANTIZE) and not _is_fine(node, index):
                reason = "Q/DQ inside of control flow cannot be repaired"
                yield node_label(node, number), reason, "let `specialize` and `simplify` remove the control flow"


def _is_fine(node: onnx.NodeProto, index: GraphIndex) -> bool:
    if node.domain not in ("", "ai.onnx") or _type(node, index) not in _SYMMETRIC:
        return False
    if len(node.input) < 3 or not node.input[2]:
        return True
    zero_point = index.constant(node.input[2])
    return zero_point is not None and not zero_point.astype(float).any()


def _type(node: onnx.NodeProto, index: GraphIndex) -> str | None:
    """Element type of the quantized side; None where it is not to be found out."""
    if len(node.input) > 2 and node.input[2]:
        zero_point = index.constant(node.input[2])
        if zero_point is not None:
            return str(zero_point.dtype.name)
        tensor = index.initializers.get(node.input[2])
        return ELEMENTS[tensor.data_type].name if tensor is not None else None
    if node.op_type == QUANTIZE:
        return ELEMENTS[attribute(node, "output_dtype", 0) or 2].name
    if node.input[0] in index.initializers:
        return ELEMENTS[index.initializers[node.input[0]].data_type].name
    producer = index.producers.get(node.input[0])
    return _type(producer, index) if producer is not None and producer.op_type == QUANTIZE else None


def _reason(node: onnx.NodeProto, index: GraphIndex) -> tuple[str, str]:
    """Why, and what to do."""
    kind = _type(node, index)
    if any(index.constant(name) is None for name in node.input[1:3] if name):
        return "a scale or zero point is computed while the model runs", _AGAIN
    if kind == "int32":
        return "int32 that is computed while the model runs is dequantized", _AGAIN
    if kind not in ("int8", "uint8"):
        return f"a quantized tensor is {kind or 'of a type that is not stated'}, not 8 bits wide", _AGAIN
    if attribute(node, "block_size", 0):
        return "integers that are scaled in blocks are not symmetric", _AGAIN
    quantized = node.output[0] if node.op_type == QUANTIZE else node.input[0]
    if quantized in index.outside or (quantized not in index.producers and not index.is_stored(quantized)):
        return "an asymmetric quantized tensor is an input or output of the model", "quantize inside of the model only"
    others = sorted({one.op_type for one in index.readers.get(quantized, []) if one.op_type != DEQUANTIZE})
    if others:
        return f"asymmetric integers are read by {', '.join(others)}, not by DequantizeLinear", _AGAIN
    scale = index.constant(node.input[1])
    if scale is not None and scale.size != 1:
        return "an activation has asymmetric ranges for each channel, and they clip as no Relu does", _AGAIN
    return "integers are dequantized with another scale or zero point than they were made with", _AGAIN
