"""A weighted node with a stored weight, seen as a matrix that multiplies rows of its input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from edgetool.graph.walk import node_label
from edgetool.qdq.index import GraphIndex, attribute

if TYPE_CHECKING:
    import numpy as np
    import onnx

    Array = np.ndarray[Any, Any]

_FLOATS = (1, 10, 11)  # float32, float16, float64


@dataclass(frozen=True, eq=False)
class Layer:
    """One weighted node.

    Attributes:
        node: Conv, ConvTranspose, Gemm, MatMul, or the Gather of an embedding.
        label: how to speak of it.
        weight: name of its weight, an initializer.
        shape: of the weight.
        data_type: of the weight, as onnx numbers them.
        outputs: the weight's axis of output channels.
        inputs: the weight's axis of input channels; None where an output does not read all of them.
        groups: of a grouped convolution; 1 for all others.
    """

    node: onnx.NodeProto
    label: str
    weight: str
    shape: tuple[int, ...]
    data_type: int
    outputs: int
    inputs: int | None
    groups: int = 1

    @property
    def is_matrix(self) -> bool:
        """Whether it multiplies rows of its first input, so that `matrix` and `input_rows` apply."""
        return self.node.op_type in ("Conv", "Gemm", "MatMul")

    @property
    def width(self) -> int:
        """Length of the rows that a group multiplies."""
        import math

        return math.prod(self.shape[1:]) if self.node.op_type == "Conv" else self.shape[1 - self.outputs]

    def matrix(self, weight: Array) -> Array:
        """The weight, or what is left of it, as [groups, outputs of a group, width]."""
        if self.node.op_type == "Conv":
            return weight.reshape(self.groups, weight.shape[0] // self.groups, -1)
        rows: Array = weight if self.outputs == 0 else weight.T
        return rows[None]

    def weight_of(self, matrix: Array) -> Array:
        """Inverse of `matrix`; the number of inputs and outputs may have shrunk."""
        if self.node.op_type == "Conv":
            return matrix.reshape(matrix.shape[0] * matrix.shape[1], -1, *self.shape[2:])
        rows: Array = matrix[0]
        return rows if self.outputs == 0 else rows.T

    def columns(self, channels: Array) -> Array:
        """Columns of `matrix` (of one group) that multiply these input channels."""
        import math

        import numpy as np

        each = math.prod(self.shape[2:]) if self.node.op_type == "Conv" else 1
        return (np.asarray(channels)[:, None] * each + np.arange(each)).ravel()


def find_layers(graph: onnx.GraphProto) -> Iterator[Layer]:
    """All weighted nodes of the main graph with a stored float weight."""
    index = GraphIndex(graph)
    fed = {value.name for value in graph.input}
    for number, node in enumerate(graph.node):
        layer = layer_of(node, node_label(node, number), index, fed)
        if layer is not None:
            yield layer


def layer_of(node: onnx.NodeProto, label: str, index: GraphIndex, fed: set[str]) -> Layer | None:
    """The node as a layer.

    Args:
        node: any.
        label: how to speak of it.
        index: of its graph.
        fed: names that a caller may feed: they are no stored weights.
    """
    place = 0 if node.op_type == "Gather" else 1
    if node.domain not in ("", "ai.onnx") or len(node.input) <= place:
        return None
    name = node.input[place]
    if name not in index.initializers or name in fed or node.input[1 - place] not in index.moving:
        return None
    tensor = index.initializers[name]
    if tensor.data_type not in _FLOATS or 0 in tensor.dims:
        return None
    shape, groups = tuple(tensor.dims), attribute(node, "group", 1)
    made = partial(Layer, node, label, name, shape, tensor.data_type)
    match node.op_type:
        case "Conv":
            return made(0, 1 if groups == 1 else None, groups)
        case "ConvTranspose":
            return made(1, 0 if groups == 1 else None, groups)
        case "Gemm" if len(shape) == 2 and not attribute(node, "transA", 0):
            transposed = int(attribute(node, "transB", 0) != 0)  # every number but 0 transposes
            return made(1 - transposed, transposed)
        case "MatMul" if len(shape) == 2:
            return made(1, 0)
        case "Gather" if len(shape) == 2 and attribute(node, "axis", 0) == 0:
            return made(1, None)
    return None
