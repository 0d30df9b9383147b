"""Ways through a model: its graphs, nodes and tensors, subgraphs and functions included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, slots=True)
class NamedTensor:
    """A tensor and how to speak of it.

    Attributes:
        tensor: the proto.
        label: its name, or the node and attribute that hold it.
    """

    tensor: onnx.TensorProto
    label: str


def node_label(node: onnx.NodeProto, index: int) -> str:
    """The node's name, or `OpType#index` for a node that has none; `index` is its place in its graph."""
    return node.name or f"{node.op_type}#{index}"


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs in a node's attributes: branches of If, bodies of Loop and Scan."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """This graph, then every graph inside it."""
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from graphs(inner)


def tensors(model: onnx.ModelProto) -> Iterator[NamedTensor]:
    """Every tensor that the model stores: initializers and attributes, in subgraphs and functions too."""
    for graph in graphs(model.graph):
        for tensor in graph.initializer:
            yield NamedTensor(tensor, tensor.name)
        for sparse in graph.sparse_initializer:
            yield NamedTensor(sparse.values, sparse.values.name)
            yield NamedTensor(sparse.indices, f"{sparse.values.name} (indices)")
        yield from _attribute_tensors(graph.node)
    for function in model.functions:
        yield from _attribute_tensors(function.node)
        for node in function.node:
            for inner in subgraphs(node):
                for graph in graphs(inner):
                    for tensor in graph.initializer:
                        yield NamedTensor(tensor, tensor.name)
                    yield from _attribute_tensors(graph.node)


def _attribute_tensors(nodes: Iterator[onnx.NodeProto]) -> Iterator[NamedTensor]:
    for index, node in enumerate(nodes):
        for attribute in node.attribute:
            label = f"{node_label(node, index)}.{attribute.name}"
            held = [attribute.t] if attribute.HasField("t") else []
            sparse = [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
            for tensor in (*held, *attribute.tensors):
                yield NamedTensor(tensor, label)
            for item in (*sparse, *attribute.sparse_tensors):
                yield NamedTensor(item.values, label)
                yield NamedTensor(item.indices, label)
