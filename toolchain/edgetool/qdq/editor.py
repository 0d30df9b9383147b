"""Edits a graph: new constants and nodes under unused names, in an order that can run, nothing unread left behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
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
        self._stored = {tensor.name for tensor in graph.initializer}
        self._names = self._stored | {value.name for value in graph.input}
        self._node_names = {node.name for node in graph.node}
        self._producers = {name: node for node in graph.node for name in node.output if name}
        self._names.update(self._producers)
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
        return self.node_named(op_type, inputs, self.unused(wish), **attributes)

    def nodes(self, op_type: str, inputs: Sequence[str], wishes: Sequence[str]) -> tuple[str, ...]:
        """Add one node with several outputs and return their names."""
        return self._add(op_type, inputs, [self.unused(wish) for wish in wishes])

    def node_named(self, op_type: str, inputs: Sequence[str], output: str, **attributes: int) -> str:
        """Add a node whose output bears exactly this name, which `detach` or `retire` has freed."""
        return self._add(op_type, inputs, [output], **attributes)[0]

    def _add(self, op_type: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: int) -> tuple[str, ...]:
        import onnx.helper

        name = _reserve(outputs[0], self._node_names)
        added = self.graph.node.add()
        added.CopyFrom(onnx.helper.make_node(op_type, list(inputs), list(outputs), name, **attributes))
        self._producers.update(dict.fromkeys(outputs, added))
        return tuple(outputs)

    def retire(self, node: onnx.NodeProto) -> str:
        """Let a node vanish with the commit: its first output's name is free for what replaces it.

        Returns:
            A name that nothing bears, made from the freed one.
        """
        freed = self.detach(node.output[0])
        self._orphans.add(freed)
        return freed

    def detach(self, tensor: str) -> str:
        """Let the producer of a tensor write under a new name, which is returned; `tensor` itself is free then.

        Whatever reads `tensor`, graph outputs and subgraphs included, will read what bears the name next.
        """
        producer = self._producers.pop(tensor)
        freed = self.unused(f"{tensor}_raw")
        producer.output[list(producer.output).index(tensor)] = freed
        self._producers[freed] = producer
        return freed

    def redirect(self, node: onnx.NodeProto, position: int, name: str) -> None:
        """Let a node read another tensor."""
        self._orphans.add(node.input[position])
        node.input[position] = name

    def commit(self) -> None:
        """Order the nodes and remove what lost its last reader: nodes and initializers.

        Nodes are moved, not copied: whoever holds one still holds it afterwards.
        """
        dead = self._without_readers()
        _delete(self.graph.node, lambda node: dead.issuperset(filter(None, node.output)))
        _delete(self.graph.initializer, lambda tensor: tensor.name in dead)
        _delete(self.graph.input, lambda value: value.name in dead and value.name in self._stored)
        places = {tuple(node.output): place for place, node in enumerate(_in_order(self.graph.node))}
        self.graph.node.sort(key=lambda node: places[tuple(node.output)])
        self._orphans = set()

    def _without_readers(self) -> set[str]:
        """Of the tensors that lost a reader, those that have none left; what only they need loses its readers too."""
        readers: Counter[str] = Counter(value.name for value in self.graph.output)
        for node in self.graph.node:
            readers.update((*node.input, *captured(node)))
        dead: set[str] = set()
        waiting = list(self._orphans)
        while waiting:
            name = waiting.pop()
            if readers[name] > 0 or name in dead:
                continue
            dead.add(name)
            producer = self._producers.get(name)
            if producer is not None and all(readers[output] == 0 for output in producer.output):
                dead.update(filter(None, producer.output))
                readers.subtract(producer.input)
                waiting += producer.input
        return dead


def _delete(rows: Any, unwanted: Callable[[Any], bool]) -> None:
    """Delete from a repeated field, leaving the others where they are."""
    for place in reversed([place for place, row in enumerate(rows) if unwanted(row)]):
        del rows[place]


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
