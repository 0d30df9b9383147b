"""Where the result of a layer ends up: behind its bias and, in a residual network, in the sum with the shortcut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgetool.qdq.index import GraphIndex
from edgetool_passes.pruning.rows import adds_bias

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, eq=False)
class Ending:
    """What follows a layer.

    Attributes:
        result: the layer's own result, with its bias, or the residual sum behind it.
        shortcut: the other summand; None where there is none.
        bias: the node that adds a bias of this layer alone, or could: itself, or the Add behind a MatMul; else None.
    """

    result: str
    shortcut: str | None
    bias: onnx.NodeProto | None


def ending_of(index: GraphIndex, node: onnx.NodeProto) -> Ending:
    """Follow the result of a Conv, Gemm or MatMul as long as nobody else reads it."""
    tensor, bias = node.output[0], None
    if adds_bias(node):
        own = node.input[2] if len(node.input) > 2 else ""
        bias = node if not own or _is_own_vector(index, own) else None
    elif (reader := index.only_reader(tensor)) is not None and _is_own_vector(index, other_summand(reader, tensor)):
        tensor, bias = reader.output[0], reader
    reader = index.only_reader(tensor)
    shortcut = other_summand(reader, tensor) if reader is not None else ""
    if reader is not None and shortcut in index.moving:
        return Ending(reader.output[0], shortcut, bias)
    return Ending(tensor, None, bias)


def other_summand(node: onnx.NodeProto, tensor: str) -> str:
    """The other input of an Add; empty for other nodes."""
    if node.op_type != "Add":
        return ""
    first, second = node.input
    return str(second if first == tensor else first)


def _is_own_vector(index: GraphIndex, name: str) -> bool:
    """Whether it is a stored number for each channel that nobody else reads."""
    stored = index.initializers.get(name)
    is_vector = stored is not None and len(stored.dims) == 1 and stored.dims[0] > 1
    return is_vector and index.only_reader(name) is not None
