"""How data flows through a graph, and the tensors through which all of it has to pass.

A tensor carries data when it depends on the graph's inputs by more than their shapes: what Shape and Size say does not
carry, so that shape arithmetic hides no bottleneck. The bottlenecks are the post-dominators of an input (Lengauer and
Tarjan, 1979, for the term; on an acyclic graph one pass in reverse order finds them).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgetool.qdq.index import GraphIndex, captured

if TYPE_CHECKING:
    import onnx

_SHAPE_ONLY = frozenset({"Shape", "Size"})


@dataclass(frozen=True, eq=False)
class Flow:
    """A graph read as a flow of data.

    Attributes:
        graph: it, in an order that can run.
        index: of its tensors.
        carrying: names of the tensors that carry data.
        inputs: graph inputs that carry data.
        places: tensor -> place of its producer among the nodes.
        next_bottleneck: place of a node -> place of the next node through which all that it computes passes;
            `len(graph.node)` is the end of the network. Nodes that lead nowhere are missing.
    """

    graph: onnx.GraphProto
    index: GraphIndex
    carrying: frozenset[str]
    inputs: tuple[str, ...]
    places: dict[str, int]
    next_bottleneck: dict[int, int]

    def bottlenecks(self, tensor: str) -> list[str]:
        """The tensor, then all tensors through which what depends on it passes, in order."""
        end, found = len(self.graph.node), [tensor]
        place = self._joined(self._successors(tensor))
        while place is not None and place != end:
            used = [name for name in self.graph.node[place].output if self._is_used(name)]
            if len(used) == 1:
                found.append(used[0])
            place = self.next_bottleneck.get(place)
        return found

    def between(self, start: str, end: str) -> list[onnx.NodeProto]:
        """The nodes that compute `end`, a bottleneck of `start`, out of it; in order."""
        reached, found = {start}, []
        for place in range(self.places.get(start, -1) + 1, self.places[end] + 1):
            node = self.graph.node[place]
            if self.carries(node) and not reached.isdisjoint((*node.input, *captured(node))):
                reached.update(filter(None, node.output))
                found.append(node)
        return found

    def carries(self, node: onnx.NodeProto) -> bool:
        """Whether a node's results carry data."""
        return not self.carrying.isdisjoint(node.output)

    def _is_used(self, tensor: str) -> bool:
        return tensor in self.index.readers or tensor in self.index.outside

    def _successors(self, tensor: str) -> set[int]:
        """Places of the nodes that the tensor's data goes to; the end of the network counts as one."""
        readers = [node for node in self.index.readers.get(tensor, []) if self.carries(node)]
        found = {self.places[next(filter(None, node.output))] for node in readers}
        if any(value.name == tensor for value in self.graph.output):
            found.add(len(self.graph.node))
        if tensor in self.index.outside:
            found |= {place for place, node in enumerate(self.graph.node) if tensor in set(captured(node))}
        return found

    def _joined(self, places: Iterable[int]) -> int | None:
        """The first bottleneck that all these nodes share; a node is one of itself."""
        joined: int | None = None
        for place in places:
            if place != len(self.graph.node) and place not in self.next_bottleneck:
                continue  # it leads nowhere
            joined = place if joined is None else self._meet(joined, place)
        return joined

    def _meet(self, one: int, other: int) -> int:
        while one != other:
            if one < other:
                one = self.next_bottleneck[one]
            else:
                other = self.next_bottleneck[other]
        return one


def read_flow(graph: onnx.GraphProto) -> Flow:
    """Read a graph; do so again after an edit."""
    index = GraphIndex(graph)
    inputs = tuple(value.name for value in graph.input if value.name not in index.initializers)
    carrying = set(inputs)
    for node in graph.node:
        if node.op_type not in _SHAPE_ONLY and not carrying.isdisjoint((*node.input, *captured(node))):
            carrying.update(filter(None, node.output))
    places = {name: place for place, node in enumerate(graph.node) for name in node.output if name}
    flow = Flow(graph, index, frozenset(carrying), inputs, places, {})
    for place in reversed(range(len(graph.node))):
        node = graph.node[place]
        if flow.carries(node):
            joined = flow._joined({after for name in node.output if name for after in flow._successors(name)})
            if joined is not None:
                flow.next_bottleneck[place] = joined
    return flow
