"""Finds tensors whose channels can be scaled: the layers that write them and those that read them undo each other.

Dividing a channel by a number where a convolution writes it, and multiplying by the number where convolutions read it,
leaves the network as it was as long as nothing in between minds: a Relu, a pool, a residual Add of two tensors that
are scaled alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgetool.qdq.index import GraphIndex, attribute

if TYPE_CHECKING:
    import onnx

_SAME_CHANNELS = frozenset(
    {"Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Identity", "Dropout",
     "Resize"}
)  # fmt: skip
"""They treat every channel by itself, and a channel that is scaled comes out scaled."""
_RESHAPING = frozenset({"Flatten", "Reshape", "Squeeze", "ReduceMean", "ReduceMax"})
_GATES = frozenset({"Sigmoid", "HardSigmoid"})
_FLOAT = 1
"""TensorProto.FLOAT, without importing onnx for it."""
_SMALL = 1024
"""Bytes; tensors that shape inference looks into are smaller."""


@dataclass(frozen=True, eq=False)
class Stream:
    """Tensors whose channels can be scaled together and only together.

    Attributes:
        tensors: their names, in the order in which they are computed.
        channels: how many each has, along axis 1.
        writers: Conv and Gemm nodes with constant weights that compute them.
        readers: Conv and Gemm nodes with constant weights that read them.
        cap: the smallest bound of a Clip between them; infinite where there is none.
    """

    tensors: tuple[str, ...]
    channels: int
    writers: tuple[onnx.NodeProto, ...]
    readers: tuple[onnx.NodeProto, ...]
    cap: float


def streams(model: onnx.ModelProto) -> tuple[Stream, ...]:
    """All streams of the main graph that have a writer and a reader.

    Args:
        model: its weights are initializers.
    """
    return _Survey(model).run()


def is_depthwise(node: onnx.NodeProto, weight_shape: tuple[int, ...]) -> bool:
    """Whether every output channel of a Conv reads one input channel only."""
    return node.op_type == "Conv" and attribute(node, "group", 1) > 1 and weight_shape[1] == 1


def has_depthwise(graph: onnx.GraphProto) -> bool:
    """Whether the main graph has a depthwise convolution with a stored weight."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    return any(
        node.op_type == "Conv" and node.input[1] in shapes and is_depthwise(node, shapes[node.input[1]])
        for node in graph.node
    )


class _Survey:
    """One walk over the graph; tensors that must be scaled alike share a root."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._graph = model.graph
        self._index = GraphIndex(model.graph)
        self._shapes = _shapes(model)
        self._stored_inputs = {value.name for value in model.graph.input}
        self._parent: dict[str, str] = {}
        self._fixed: set[str] = {*self._stored_inputs, *self._index.outside}
        self._caps: dict[str, float] = {}
        self._writers: dict[str, onnx.NodeProto] = {}
        self._readers: dict[str, list[onnx.NodeProto]] = {}

    def run(self) -> tuple[Stream, ...]:
        for node in self._graph.node:
            self._visit(node)
        members: dict[str, list[str]] = {}
        for name in (name for node in self._graph.node for name in node.output if name):
            members.setdefault(self._root(name), []).append(name)
        frozen = {self._root(name) for name in self._fixed}
        found = (self._stream(names) for root, names in members.items() if root not in frozen)
        return tuple(stream for stream in found if stream is not None)

    def _visit(self, node: onnx.NodeProto) -> None:
        moving = [name for name in node.input if name in self._index.moving]
        if self._is_weighted(node):
            self._writers[node.output[0]] = node
            self._readers.setdefault(node.input[0], []).append(node)
            return
        joined = self._joined(node, moving)
        self._fixed.update(name for name in (*moving, *node.output) if name not in joined)
        for name in joined[1:]:
            self._parent[self._root(name)] = self._root(joined[0])
        if node.op_type == "Clip" and joined:
            cap = self._cap(node)
            assert cap is not None  # or it would have joined nothing
            self._caps[node.output[0]] = cap

    def _joined(self, node: onnx.NodeProto, moving: list[str]) -> tuple[str, ...]:
        """The tensors that a node wants scaled alike; empty for one that wants them not scaled at all."""
        output = node.output[0]
        if node.domain not in ("", "ai.onnx") or len([name for name in node.output if name]) != 1:
            return ()
        if node.op_type in ("Add", "Sub") and len(moving) == 2:
            return (*moving, output) if self._have_equal_channels((*moving, output)) else ()
        if node.op_type == "Mul" and len(moving) == 2 and (open_way := self._gated(node)):
            return (open_way, output) if self._have_equal_channels((*moving, output)) else ()
        if len(moving) != 1 or node.input[0] != moving[0]:
            return ()
        if node.op_type in _SAME_CHANNELS or (node.op_type == "Clip" and self._cap(node) is not None):
            return (moving[0], output)
        if node.op_type in _RESHAPING and self._keeps_channels(node):
            return (moving[0], output)
        return ()

    def _gated(self, node: onnx.NodeProto) -> str | None:
        """Of a product with a gate between 0 and 1: the other input."""
        kinds = [producer.op_type if (producer := self._index.producers.get(name)) else "" for name in node.input]
        gates = [place for place, kind in enumerate(kinds) if kind in _GATES]
        return str(node.input[1 - gates[0]]) if len(gates) == 1 else None

    def _cap(self, node: onnx.NodeProto) -> float | None:
        """The largest magnitude that a Clip around zero lets through; None for other Clips."""
        bounds = {entry.name: float(entry.f) for entry in node.attribute}
        for name, position in (("min", 1), ("max", 2)):
            if len(node.input) > position and node.input[position]:
                values = self._index.constant(node.input[position])
                if values is None:
                    return None
                bounds[name] = float(values.reshape(()))
        low, high = bounds.get("min", -float("inf")), bounds.get("max", float("inf"))
        if low > 0 or high <= 0:
            return None
        return high if low == 0 else min(high, -low)

    def _keeps_channels(self, node: onnx.NodeProto) -> bool:
        """Whether axis 1 stays what it is, and nothing else is folded into it."""
        before, after = self._shapes.get(node.input[0]), self._shapes.get(node.output[0])
        if before is None or after is None or len(before) < 2 or len(after) < 2:
            return False
        if before[1] is None or before[1] != after[1]:
            return False
        return node.op_type.startswith("Reduce") or all(size == 1 for size in (*before[2:], *after[2:]))

    def _have_equal_channels(self, names: Iterable[str]) -> bool:
        shapes = [self._shapes.get(name) for name in names]
        channels = {(len(shape), shape[1]) if shape is not None and len(shape) > 1 else None for shape in shapes}
        return len(channels) == 1 and None not in channels and next(iter(channels))[1] is not None  # type: ignore[index]

    def _is_weighted(self, node: onnx.NodeProto) -> bool:
        if node.op_type not in ("Conv", "Gemm") or node.domain not in ("", "ai.onnx"):
            return False
        weight = self._index.initializers.get(node.input[1])
        if weight is None or weight.name in self._stored_inputs or self._index.only_reader(weight.name) is None:
            return False
        if weight.data_type != _FLOAT or node.input[0] not in self._index.moving:
            return False
        if len(node.input) > 2 and node.input[2] and self._index.constant(node.input[2]) is None:
            return False
        plain = all(entry.f == 1.0 for entry in node.attribute if entry.name in ("alpha", "beta"))
        return node.op_type == "Conv" or (plain and not attribute(node, "transA", 0))

    def _stream(self, names: list[str]) -> Stream | None:
        writers = tuple(self._writers[name] for name in names if name in self._writers)
        readers = tuple(reader for name in names for reader in self._readers.get(name, ()))
        if not writers or not readers:
            return None
        channels = written_channels(writers[0], self._weight_shape(writers[0]))
        cap = min((self._caps[name] for name in names if name in self._caps), default=float("inf"))
        return Stream(tuple(names), channels, writers, readers, cap)

    def _weight_shape(self, node: onnx.NodeProto) -> tuple[int, ...]:
        return tuple(self._index.initializers[node.input[1]].dims)

    def _root(self, name: str) -> str:
        while (above := self._parent.get(name, name)) != name:
            name = above
        return name


def written_channels(node: onnx.NodeProto, weight_shape: tuple[int, ...]) -> int:
    """Output channels of a Conv or Gemm."""
    transposed = node.op_type == "Conv" or attribute(node, "transB", 0)
    return weight_shape[0 if transposed else 1]


def _shapes(model: onnx.ModelProto) -> Mapping[str, tuple[int | str | None, ...]]:
    """Of all tensors whose shape can be inferred; None for a size that nobody knows."""
    from edgetool.graph.shapes import with_inferred_types

    graph = with_inferred_types(_without_weights(model)).graph
    return {
        value.name: tuple(_sizes(value))
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.tensor_type.HasField("shape")
    }


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which large initializers are shapes only."""
    import onnx

    copy = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    copy.graph.node.extend(model.graph.node)
    copy.graph.input.extend(model.graph.input)
    copy.graph.output.extend(model.graph.output)
    for tensor in model.graph.initializer:
        if tensor.ByteSize() <= _SMALL:
            copy.graph.initializer.add().CopyFrom(tensor)
        else:
            copy.graph.initializer.add(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    return copy


def _sizes(value: onnx.ValueInfoProto) -> Iterator[int | str | None]:
    for dim in value.type.tensor_type.shape.dim:
        yield dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None
