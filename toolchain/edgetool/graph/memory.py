"""How much memory the activations of a graph need at their peak, from the lifetimes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgetool.graph.macs import Estimate
from edgetool.graph.shapes import ShapedGraph, TensorType
from edgetool.graph.walk import node_label, subgraphs

if TYPE_CHECKING:
    import onnx

_VIEWS = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
"""Their output can share the memory of their first input."""


def activation_peak(shaped: ShapedGraph) -> Estimate:
    """Largest sum of the bytes of tensors that are alive together, weights not counted.

    A tensor lives from the node that computes it to the last node that reads it; inputs live from the start, outputs
    to the end. Runtimes may need more (scratch space, fragmentation) or less (computing in place).
    """
    constants = {tensor.name for tensor in shaped.graph.initializer}
    return _peak(shaped.graph, shaped.types, constants)


def _peak(graph: onnx.GraphProto, types: Mapping[str, TensorType], constants: set[str]) -> Estimate:
    owner = _owners(graph)
    last_use = _last_uses(graph, owner)
    unknown: list[str] = []
    alive: dict[str, int] = {}
    for value in graph.input:
        if value.name not in constants:
            alive[value.name] = types[value.name].nbytes if value.name in types else 0
            if value.name not in types:
                unknown.append(value.name)
    total = peak = sum(alive.values())
    for index, node in enumerate(graph.node):
        label = node_label(node, index)
        inner = [_peak(part, types, {t.name for t in part.initializer}) for part in subgraphs(node)]
        unknown += [f"{label}/{name}" for part in inner for name in part.unknown]
        for name in node.output:
            if name and owner[name] == name and node.op_type != "Constant":
                alive[name] = types[name].nbytes if name in types else 0
                total += alive[name]
                if name not in types:
                    unknown.append(label)
        peak = max(peak, total + max((part.value for part in inner), default=0))
        for name in [name for name in alive if last_use.get(name, index) <= index]:
            total -= alive.pop(name)
    return Estimate(peak, tuple(dict.fromkeys(unknown)))


def _owners(graph: onnx.GraphProto) -> dict[str, str]:
    """For each tensor, the one whose memory it uses: itself, or what it is a view of."""
    owner: dict[str, str] = {}
    for node in graph.node:
        for name in node.output:
            owner[name] = owner.get(node.input[0], node.input[0]) if node.op_type in _VIEWS else name
    return owner


def _last_uses(graph: onnx.GraphProto, owner: Mapping[str, str]) -> dict[str, int]:
    """Index of the last node that reads each owner; outputs of the graph are read after the end."""
    last: dict[str, int] = {}
    for index, node in enumerate(graph.node):
        for name in (*node.input, *_captured(node)):
            last[owner.get(name, name)] = index
    for value in graph.output:
        last[owner.get(value.name, value.name)] = len(graph.node)
    return last


def _captured(node: onnx.NodeProto) -> list[str]:
    """Names that the node's subgraphs read, from outside or not; more names do no harm here."""
    names: list[str] = []
    for graph in subgraphs(node):
        for inner in graph.node:
            names += inner.input
            names += _captured(inner)
        names += [value.name for value in graph.output]
    return names
