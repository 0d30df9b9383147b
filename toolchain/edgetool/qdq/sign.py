"""Which tensors cannot be negative, whatever the input: proven from the graph, not observed on samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgetool.qdq.index import GraphIndex

if TYPE_CHECKING:
    import onnx

_ALWAYS = frozenset(
    {"Relu", "Sigmoid", "HardSigmoid", "Softmax", "Exp", "Sqrt", "Abs", "Softplus", "ReduceL1", "ReduceL2",
     "ReduceSumSquare"}
)  # fmt: skip
_FIRST_INPUT = frozenset(
    {"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Reshape", "Flatten", "Transpose", "Squeeze",
     "Unsqueeze", "Identity", "Dropout", "Slice", "Gather", "Expand", "Tile", "ReduceMean", "ReduceMax", "ReduceMin",
     "ReduceSum", "DepthToSpace", "SpaceToDepth", "Cast", "QuantizeLinear", "DequantizeLinear", "Split"}
)  # fmt: skip
_EVERY_INPUT = frozenset({"Add", "Mul", "Div", "Concat", "Min", "Sum", "Mean"})


def nonnegative_tensors(graph: onnx.GraphProto) -> frozenset[str]:
    """Names of float tensors of the main graph that are zero or more for every input."""
    index = GraphIndex(graph)
    proven: set[str] = set()

    def holds(name: str) -> bool:
        if name in proven:
            return True
        values = index.constant(name)
        return values is not None and values.size > 0 and bool((values >= 0).all())

    for node in graph.node:
        if _cannot_be_negative(node, index, holds):
            proven.update(node.output)
    return frozenset(proven)


def _cannot_be_negative(node: onnx.NodeProto, index: GraphIndex, holds: Callable[[str], bool]) -> bool:
    if node.op_type in _ALWAYS or (node.op_type == "DequantizeLinear" and _starts_at_zero(node, index)):
        return True
    if node.op_type in _FIRST_INPUT:
        return holds(node.input[0])
    if node.op_type in _EVERY_INPUT:
        return all(holds(name) for name in node.input if name)
    if node.op_type == "Max":
        return any(holds(name) for name in node.input)
    if node.op_type == "Clip":
        return _clips_at_zero(node, index) or holds(node.input[0])
    return False


def _clips_at_zero(node: onnx.NodeProto, index: GraphIndex) -> bool:
    """The lower bound is an attribute before opset 11, an input since."""
    bounds = [attribute.f for attribute in node.attribute if attribute.name == "min"]
    if len(node.input) > 1 and node.input[1]:
        values = index.constant(node.input[1])
        bounds += [] if values is None else [float(values.reshape(()))]
    return any(bound >= 0 for bound in bounds)


def _starts_at_zero(node: onnx.NodeProto, index: GraphIndex) -> bool:
    """Whether zero is the smallest integer of the quantized type, so that nothing below can be expressed."""
    import numpy as np

    zero_point = index.constant(node.input[2]) if len(node.input) > 2 else None
    if zero_point is None or zero_point.dtype.kind not in "ui":
        return False
    return bool((zero_point == np.iinfo(zero_point.dtype).min).all())
