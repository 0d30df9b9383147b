"""The ways in which a weight is a matrix, and two nodes with its factors take the place of one.

| form | matrix | first | second | source |
|---|---|---|---|---|
| `product` | `[in, out]` | product with `[in, r]` | product with `[r, out]` | |
| `lookup` | `[rows, width]` | rows of `[rows, r]` | product with `[r, width]` | |
| `channels` | `[in kh kw, out]` | convolution to `r` channels | 1x1 convolution | Zhang et al. 2015 |
| `separable` | `[in kh, out kw]` | `kh x 1` convolution to `r` channels | `1 x kw` convolution | Jaderberg 2014 |
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from edgetool.graph.shapes import TensorType
from edgetool.qdq.editor import GraphEditor
from edgetool.qdq.index import attribute

if TYPE_CHECKING:
    import numpy as np
    import onnx

    Array = np.ndarray[Any, Any]

Types = Mapping[str, TensorType]


@dataclass(frozen=True, slots=True)
class Form(ABC):
    """One way to factor one weight.

    Attributes:
        shape: of the weight.
    """

    name: ClassVar[str]

    shape: tuple[int, ...]

    @property
    @abstractmethod
    def sides(self) -> tuple[int, int]:
        """Rows and columns of the matrix."""

    @abstractmethod
    def matrix(self, weight: Array) -> Array:
        """The weight as a matrix: rows are summed over, columns are results."""

    @abstractmethod
    def macs(self, node: onnx.NodeProto, types: Types) -> tuple[int, int]:
        """Multiply-accumulates of the node as it is, and for each unit of rank; (0, 0) where shapes are unknown."""

    @abstractmethod
    def split(self, editor: GraphEditor, node: onnx.NodeProto, first: str, second: str) -> str:
        """Let the node, and one more, compute with stored factors; the name of the tensor between them."""

    @abstractmethod
    def laid_out(self, first: Array, second: Array) -> tuple[Array, Array]:
        """The factors, [rows, rank] and [rank, columns], as the nodes want them."""


@dataclass(frozen=True, slots=True)
class Product(Form):
    """MatMul, or Gemm, whose weight is the second input.

    Attributes:
        transposed: Gemm's transB.
    """

    name: ClassVar[str] = "product"

    transposed: bool = False

    @property
    def sides(self) -> tuple[int, int]:
        return (self.shape[1], self.shape[0]) if self.transposed else (self.shape[0], self.shape[1])

    def matrix(self, weight: Array) -> Array:
        return weight.T if self.transposed else weight

    def macs(self, node: onnx.NodeProto, types: Types) -> tuple[int, int]:
        rows, columns = self.sides
        vectors = _size(node.output[0], types) // columns
        return vectors * rows * columns, vectors * (rows + columns)

    def laid_out(self, first: Array, second: Array) -> tuple[Array, Array]:
        return first, second.T if self.transposed else second

    def split(self, editor: GraphEditor, node: onnx.NodeProto, first: str, second: str) -> str:
        narrow = editor.node("MatMul", [node.input[0], first], f"{node.output[0]}_narrow")
        editor.redirect(node, 0, narrow)
        editor.redirect(node, 1, second)
        return narrow


@dataclass(frozen=True, slots=True)
class Lookup(Form):
    """Gather of rows of a table."""

    name: ClassVar[str] = "lookup"

    @property
    def sides(self) -> tuple[int, int]:
        return self.shape[0], self.shape[1]

    def matrix(self, weight: Array) -> Array:
        return weight

    def macs(self, node: onnx.NodeProto, types: Types) -> tuple[int, int]:
        return 0, _size(node.output[0], types)

    def laid_out(self, first: Array, second: Array) -> tuple[Array, Array]:
        return first, second

    def split(self, editor: GraphEditor, node: onnx.NodeProto, first: str, second: str) -> str:
        wide = str(node.output[0])
        narrow = editor.detach(wide)
        editor.redirect(node, 0, first)
        editor.node_named("MatMul", [narrow, second], wide)
        return narrow


@dataclass(frozen=True, slots=True)
class Channels(Form):
    """Conv with few output channels, then a 1x1 Conv."""

    name: ClassVar[str] = "channels"

    @property
    def sides(self) -> tuple[int, int]:
        return math.prod(self.shape[1:]), self.shape[0]

    def matrix(self, weight: Array) -> Array:
        return weight.reshape(len(weight), -1).T

    def macs(self, node: onnx.NodeProto, types: Types) -> tuple[int, int]:
        rows, columns = self.sides
        places = _size(node.output[0], types) // columns
        return places * rows * columns, places * (rows + columns)

    def laid_out(self, first: Array, second: Array) -> tuple[Array, Array]:
        rank, flat = first.shape[1], (1,) * (len(self.shape) - 2)
        return first.T.reshape(rank, *self.shape[1:]), second.T.reshape(self.shape[0], rank, *flat)

    def split(self, editor: GraphEditor, node: onnx.NodeProto, first: str, second: str) -> str:
        narrow = _convolution(editor, [node.input[0], first], f"{node.output[0]}_narrow", node.attribute)
        node.ClearField("attribute")
        editor.redirect(node, 0, narrow)
        editor.redirect(node, 1, second)
        return narrow


@dataclass(frozen=True, slots=True)
class Separable(Form):
    """A column, then a row, instead of a rectangle."""

    name: ClassVar[str] = "separable"

    @property
    def sides(self) -> tuple[int, int]:
        out, channels, height, width = self.shape
        return channels * height, out * width

    def matrix(self, weight: Array) -> Array:
        rows, columns = self.sides
        return weight.transpose(1, 2, 0, 3).reshape(rows, columns)

    def macs(self, node: onnx.NodeProto, types: Types) -> tuple[int, int]:
        out, channels, height, width = self.shape
        if node.input[0] not in types or node.output[0] not in types:
            return 0, 0
        batch, _, tall, wide = types[node.output[0]].shape
        between = batch * tall * types[node.input[0]].shape[3]
        whole = batch * tall * wide * math.prod(self.shape)
        return whole, between * channels * height + batch * tall * wide * out * width

    def laid_out(self, first: Array, second: Array) -> tuple[Array, Array]:
        out, channels, height, width = self.shape
        rank = first.shape[1]
        column = first.T.reshape(rank, channels, height, 1)
        return column, second.reshape(rank, out, 1, width).transpose(1, 0, 2, 3)

    def split(self, editor: GraphEditor, node: onnx.NodeProto, first: str, second: str) -> str:
        columns, rows = _along(node, 0), _along(node, 1)
        narrow = _convolution(editor, [node.input[0], first], f"{node.output[0]}_narrow", columns)
        node.ClearField("attribute")
        node.attribute.extend(rows)
        editor.redirect(node, 0, narrow)
        editor.redirect(node, 1, second)
        return narrow


def _along(node: onnx.NodeProto, axis: int) -> list[onnx.AttributeProto]:
    """The attributes of a convolution along one of its two axes; along the other it does nothing."""
    import onnx.helper

    idle = {"strides": [1, 1], "dilations": [1, 1], "kernel_shape": [1, 1], "pads": [0, 0, 0, 0]}
    found = []
    for entry in node.attribute:
        values = idle.get(entry.name)
        if values is None:
            found.append(entry)  # auto_pad, which a kernel of one makes nothing of, and group
            continue
        for place in range(axis, len(values), 2):
            values[place] = entry.ints[place]
        found.append(onnx.helper.make_attribute(entry.name, values))
    copies = [onnx.AttributeProto() for _ in found]
    for copy, entry in zip(copies, found, strict=True):
        copy.CopyFrom(entry)
    return copies


def _convolution(
    editor: GraphEditor, inputs: Sequence[str], wish: str, attributes: Sequence[onnx.AttributeProto]
) -> str:
    name = editor.node("Conv", inputs, wish)
    added = editor.graph.node[-1]
    for entry in attributes:
        added.attribute.add().CopyFrom(entry)
    return name


def _size(tensor: str, types: Types) -> int:
    return math.prod(types[tensor].shape) if tensor in types else 0


def forms_of(node: onnx.NodeProto, shape: tuple[int, ...]) -> tuple[Form, ...]:
    """The ways to factor a node's weight, which `layers` has found to be possible."""
    match node.op_type:
        case "Gather":
            return (Lookup(shape),)
        case "Conv":
            spatial = len(shape) == 4 and min(shape[2:]) > 1
            return (Channels(shape), Separable(shape)) if spatial else (Channels(shape),)
        case _:
            return (Product(shape, bool(attribute(node, "transB", 0))),)
