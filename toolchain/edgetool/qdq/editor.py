"""Edits a graph: new constants and nodes under unused names, in an order that can run, nothing unread left behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgetool.qdq.index import captured

if TYPE_CHECKING:
    import numpy as np
    import onnx


class GraphEditor:
    """Collects edits of one graph; `commit` puts the nodes in order and drops what nobody reads any more.

    Args:
        graph: edited in place.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self._names = {tensor.name for tensor in graph.initializer} | {value.name for value in graph.input}
        self._node_names = {node.name for node in graph.node}
        for node in graph.node:
            self._names.update(node.output)
        self._added: list[onnx.NodeProto] = []
        self._orphans: set[str] = set()

    def unused(self, wish: str) -> str:
        """A tensor name that nothing bears yet: `wish`, or `wish_2`, `wish_3`, ..."""
        return _reserve(wish, self._names)

    def constant(self, values: np.ndarray[Any, Any], wish: str) -> str:
        """Store an array and return its name."""
        from onnx import numpy_helper

        name = self.unused(wish)
        self.graph.initializer.append(numpy_helper.from_array(values, name))
        return name

    def node(self, op_type: str, inputs: Sequence[str], wish: str, **attributes: int) -> str:
        """Add a node with one output and return the output's name."""
        import onnx.helper

        output = self.unused(wish)
        name = _reserve(output, self._node_names)
        self._added.append(onnx.helper.make_node(op_type, list(inputs), [output], name, **attributes))
        return output

    def redirect(self, node: onnx.NodeProto, position: int, name: str) -> None:
        """Let a node read another tensor."""
        self._orphans.add(node.input[position])
        node.input[position] = name

    def remove(self, node: onnx.NodeProto) -> None:
        """Take a node out; its outputs must have no readers left."""
        self._orphans.update(node.input)
        self.graph.node.remove(node)

    def commit(self) -> None:
        """Order the nodes and remove initializers that lost their last reader."""
        ordered = _in_order([*self.graph.node, *self._added])
        del self.graph.node[:]
        self.graph.node.extend(ordered)
        self._added = []
        self._drop_unread()

    def _drop_unread(self) -> None:
        read = {value.name for value in self.graph.output}
        for node in self.graph.node:
            read.update(node.input)
            read.update(captured(node))
        unread = {name for name in self._orphans if name not in read}
        for index in reversed(range(len(self.graph.initializer))):
            if self.graph.initializer[index].name in unread:
                del self.graph.initializer[index]
        self._orphans = set()


def _reserve(wish: str, taken: set[str]) -> str:
    name, count = wish, 1
    while name in taken:
        count += 1
        name = f"{wish}_{count}"
    taken.add(name)
    return name


def _in_order(nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """The nodes in their order, except that each comes after all that it reads."""
    producers = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    placed: set[int] = set()
    ordered: list[onnx.NodeProto] = []
    for start in range(len(nodes)):
        waiting = [start]
        while waiting:
            index = waiting[-1]
            if index in placed:
                waiting.pop()
                continue
            needs = (producers[name] for name in (*nodes[index].input, *captured(nodes[index])) if name in producers)
            missing = [need for need in needs if need not in placed and need != index]
            if missing:
                waiting += missing
            else:
                waiting.pop()
                placed.add(index)
                ordered.append(nodes[index])
    return ordered
