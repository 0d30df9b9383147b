"""Who computes a tensor, who reads it, and which tensors are constants."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from edgetool.graph.walk import graphs, subgraphs

if TYPE_CHECKING:
    import numpy as np
    import onnx


class GraphIndex:
    """A reading of a graph's main level at one moment; make a new one after an edit.

    Attributes:
        producers: tensor name -> the node that computes it.
        readers: tensor name -> the nodes that read it, in order.
        initializers: tensor name -> the stored tensor.
        outside: names that are read from outside the nodes: graph outputs, and what subgraphs capture.
        moving: names of tensors that depend on the graph's inputs; all others are the same on every run.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.producers: dict[str, onnx.NodeProto] = {}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        self.initializers: dict[str, onnx.TensorProto] = {tensor.name: tensor for tensor in graph.initializer}
        self.outside: set[str] = {value.name for value in graph.output}
        self.moving: set[str] = {value.name for value in graph.input} - self.initializers.keys()
        for node in graph.node:
            for name in node.output:
                self.producers[name] = node
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
            inside = list(captured(node))
            self.outside.update(inside)
            if not self.moving.isdisjoint((*node.input, *inside)) or node.op_type.startswith("Random"):
                self.moving.update(filter(None, node.output))

    def constant(self, name: str) -> np.ndarray[Any, Any] | None:
        """The values of an initializer or of a Constant node; None for anything that is computed."""
        if name in self.initializers:
            return self.values(name)
        producer = self.producers.get(name)
        return None if producer is None else constant_of(producer)

    def values(self, name: str) -> np.ndarray[Any, Any]:
        """The values of an initializer, which there must be."""
        from onnx import numpy_helper

        values: np.ndarray[Any, Any] = numpy_helper.to_array(self.initializers[name])
        return values

    def is_stored(self, name: str) -> bool:
        """Whether the tensor is an initializer."""
        return name in self.initializers

    def only_reader(self, name: str) -> onnx.NodeProto | None:
        """The one node that reads a tensor which nobody else sees."""
        readers = self.readers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self.outside else None


def captured(node: onnx.NodeProto) -> Iterator[str]:
    """Names that the subgraphs of a node read; some may be their own, which harms nobody."""
    for inner in subgraphs(node):
        for graph in graphs(inner):
            yield from (value.name for value in graph.output)
            for part in graph.node:
                yield from part.input


def constant_of(node: onnx.NodeProto) -> np.ndarray[Any, Any] | None:
    """What a Constant node holds; None for other nodes, and for strings and sparse tensors."""
    import numpy as np
    from onnx import helper, numpy_helper

    if node.op_type != "Constant" or not node.attribute:
        return None
    (held,) = node.attribute
    if held.name == "value":
        values: np.ndarray[Any, Any] = numpy_helper.to_array(held.t)
        return values
    dtypes = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    if held.name not in dtypes:
        return None
    return np.array(helper.get_attribute_value(held), dtypes[held.name])


def attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    """An integer attribute of a node."""
    return next((int(entry.i) for entry in node.attribute if entry.name == name), default)
