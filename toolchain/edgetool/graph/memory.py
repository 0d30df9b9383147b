"""How much memory the activations of a graph need at their peak, from the lifetimes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgetool.graph.macs import Estimate
from edgetool.graph.shapes import ShapedGraph, TensorType
from edgetool.graph.walk import node_label, subgraphs

if TYPE_CHECKING:
    import onnx

_VIEWS = frozenset({"DequantizeLinear", "Flatten", "Identity", "QuantizeLinear", "Reshape", "Squeeze", "Unsqueeze"})
"""Their output can share the memory of their first input; Q/DQ are marks that runtimes compute together with others."""


@dataclass(frozen=True, slots=True)
class Peak:
    """The moment at which activations need the most memory.

    Attributes:
        nbytes: of all tensors that are alive then.
        node: what is computed at that moment; None where the inputs alone are the most.
        tensors: names and bytes of what is alive then, the largest first.
        unknown: nodes with outputs of unknown size: the true peak may be higher.
    """

    nbytes: int
    node: str | None
    tensors: tuple[tuple[str, int], ...]
    unknown: tuple[str, ...]


def activation_peak(shaped: ShapedGraph) -> Estimate:
    """The bytes of `memory_peak` alone."""
    peak = memory_peak(shaped)
    return Estimate(peak.nbytes, peak.unknown)


def memory_peak(shaped: ShapedGraph) -> Peak:
    """Largest sum of the bytes of tensors that are alive together, weights not counted.

    A tensor lives from the node that computes it to the last node that reads it; inputs live from the start, outputs
    to the end. What is only quantized takes the bytes of what it is quantized to. Runtimes may need more (scratch
    space, fragmentation, quantized tensors that are computed in float after all) or less (computing in place).
    """
    constants = {tensor.name for tensor in shaped.graph.initializer}
    return _peak(shaped.graph, shaped.types, constants)


def _peak(graph: onnx.GraphProto, types: Mapping[str, TensorType], constants: set[str]) -> Peak:
    owner = _owners(graph)
    last_use = _last_uses(graph, owner)
    types = {**types, **_quantized_types(graph, types)}
    unknown: list[str] = []
    alive: dict[str, int] = {}
    for value in graph.input:
        if value.name not in constants:
            alive[value.name] = types[value.name].nbytes if value.name in types else 0
            if value.name not in types:
                unknown.append(value.name)
    total = sum(alive.values())
    peak = Peak(total, None, _largest_first(alive), ())
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
        deepest = max(inner, key=lambda part: part.nbytes, default=None)
        needed = total + (deepest.nbytes if deepest else 0)
        if needed > peak.nbytes:
            peak = Peak(needed, label, _largest_first({**alive, **dict(deepest.tensors if deepest else ())}), ())
        for name in [name for name in alive if last_use.get(name, index) <= index]:
            total -= alive.pop(name)
    return replace(peak, unknown=tuple(dict.fromkeys(unknown)))


def _largest_first(alive: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    rows = [(name, size) for name, size in alive.items() if size]
    return tuple(sorted(rows, key=lambda row: (-row[1], row[0])))


def _owners(graph: onnx.GraphProto) -> dict[str, str]:
    """For each tensor, the one whose memory it uses: itself, or what it is a view of."""
    owner: dict[str, str] = {}
    for node in graph.node:
        for name in node.output:
            is_view = node.op_type in _VIEWS and node.input  # another domain's Reshape may read nothing
            owner[name] = owner.get(node.input[0], node.input[0]) if is_view else name
    return owner


def _quantized_types(graph: onnx.GraphProto, types: Mapping[str, TensorType]) -> dict[str, TensorType]:
    """Of each tensor that nothing but one QuantizeLinear reads, what that makes of it."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in (*node.input, *_captured(node)):
            readers.setdefault(name, []).append(node)
    for value in graph.output:
        readers.pop(value.name, None)
    return {
        name: types[nodes[0].output[0]]
        for name, nodes in readers.items()
        if len(nodes) == 1 and nodes[0].op_type == "QuantizeLinear" and nodes[0].output[0] in types
    }


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
