"""Multiply-accumulates of a graph, counted at concrete shapes; what cannot be counted is named, not guessed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgetool.graph.shapes import Shape, ShapedGraph, TensorType
from edgetool.graph.walk import node_label, subgraphs

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number that may be a lower bound.

    Attributes:
        value: the number, or the part of it that is known.
        unknown: what is missing in it (node names); empty when `value` is the whole.
    """

    value: int
    unknown: tuple[str, ...] = ()

    @property
    def is_exact(self) -> bool:
        return not self.unknown

    def __str__(self) -> str:
        return f"{self.value}" if self.is_exact else f"at least {self.value}"


def count_macs(shaped: ShapedGraph) -> Estimate:
    """Multiply-accumulates of one inference: convolutions, matrix products and recurrent layers.

    Elementwise operators are not counted, as is usual. Of the branches of an `If` the cheapest counts and the node is
    named as unknown, since the other may run; the body of a loop counts once, likewise.
    """
    return _count(shaped.graph, shaped.types)


def _count(graph: onnx.GraphProto, types: Mapping[str, TensorType]) -> Estimate:
    total, unknown = 0, []
    for index, node in enumerate(graph.node):
        label = node_label(node, index)
        inner = [_count(part, types) for part in subgraphs(node)]
        if inner:
            total += min(part.value for part in inner)
            if any(part != inner[0] for part in inner) or (node.op_type != "If" and inner[0].value):
                unknown.append(label)
            unknown += [f"{label}/{name}" for part in inner for name in part.unknown]
        if node.op_type not in _COUNTERS:
            if node.op_type in _UNCOUNTED or node.domain not in ("", "ai.onnx", "ai.onnx.ml"):
                unknown.append(label)
            continue
        counted = _COUNTERS[node.op_type](node, _Shapes(node, types))
        if counted is None:
            unknown.append(label)
        else:
            total += counted
    return Estimate(total, tuple(unknown))


class _Shapes:
    """The shapes around one node, or None where they are unknown."""

    def __init__(self, node: onnx.NodeProto, types: Mapping[str, TensorType]) -> None:
        self._node, self._types = node, types

    def input(self, index: int) -> Shape | None:
        return self._shape(self._node.input[index]) if index < len(self._node.input) else None

    def output(self) -> Shape | None:
        """Of the first output that the node has: outputs of recurrent layers are optional."""
        return next((self._shape(name) for name in self._node.output if name), None)

    def _shape(self, name: str) -> Shape | None:
        return self._types[name].shape if name in self._types else None


def _convolution(weight: int) -> Callable[[onnx.NodeProto, _Shapes], int | None]:
    def count(node: onnx.NodeProto, shapes: _Shapes) -> int | None:
        kernel, out = shapes.input(weight), shapes.output()
        return None if kernel is None or out is None else math.prod(out) * math.prod(kernel[1:])

    return count


def _transposed_convolution(node: onnx.NodeProto, shapes: _Shapes) -> int | None:
    data, kernel = shapes.input(0), shapes.input(1)
    return None if kernel is None or data is None else math.prod(data) * math.prod(kernel[1:])


def _matmul(right: int) -> Callable[[onnx.NodeProto, _Shapes], int | None]:
    def count(node: onnx.NodeProto, shapes: _Shapes) -> int | None:
        left, out = shapes.input(0), shapes.output()
        return None if not left or out is None or shapes.input(right) is None else math.prod(out) * left[-1]

    return count


def _gemm(node: onnx.NodeProto, shapes: _Shapes) -> int | None:
    left, out = shapes.input(0), shapes.output()
    if left is None or out is None or len(left) != 2:
        return None
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return math.prod(out) * left[0 if transposed else 1]


def _recurrent(node: onnx.NodeProto, shapes: _Shapes) -> int | None:
    """Every gate multiplies the input and the hidden state by its weights, at each step of each sequence."""
    data, weight, recurrence = shapes.input(0), shapes.input(1), shapes.input(2)
    if data is None or weight is None or recurrence is None or len(data) != 3:
        return None
    return data[0] * data[1] * (math.prod(weight) + math.prod(recurrence))


_COUNTERS: Mapping[str, Callable[[onnx.NodeProto, _Shapes], int | None]] = {
    "Conv": _convolution(1),
    "ConvInteger": _convolution(1),
    "QLinearConv": _convolution(3),
    "ConvTranspose": _transposed_convolution,
    "MatMul": _matmul(1),
    "MatMulInteger": _matmul(1),
    "QLinearMatMul": _matmul(3),
    "Gemm": _gemm,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
}

_UNCOUNTED = frozenset({"Attention", "DeformConv", "DFT", "Einsum", "STFT"})
"""They multiply, but how often depends on more than shapes, or is not worked out here."""
