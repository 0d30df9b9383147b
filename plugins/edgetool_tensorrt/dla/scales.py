"""Finds a scale for every tensor that int8 passes through: calibrated, carried over unchanged, or known by bounds."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgetool.qdq.index import GraphIndex
from edgetool.qdq.ranges import Range

if TYPE_CHECKING:
    import onnx

_MOVERS = frozenset(
    {"Identity", "Dropout", "Relu", "MaxPool", "GlobalMaxPool", "Reshape", "Flatten", "Transpose", "Squeeze",
     "Unsqueeze", "Slice", "Split", "Gather", "Expand", "Tile", "DepthToSpace", "SpaceToDepth", "Cast"}
)  # fmt: skip
"""Their results are values of their first input, or zero: quantizing before and after them is the same."""
_CHOOSERS = frozenset({"Concat", "Max", "Min"})
"""Their results are values of any of their inputs."""
_BOUNDED = {"Sigmoid": 1.0, "HardSigmoid": 1.0, "Softmax": 1.0, "Tanh": 1.0}
"""The largest absolute value that they can compute."""
_LEVELS = 127


@dataclass(frozen=True, slots=True)
class Scales:
    """Scales by tensor, each name in one table only.

    Attributes:
        calibrated: of the tensors that the typed ONNX quantizes.
        recorded: from the ranges that calibration recorded beside them.
        carried: of neighbours whose values are the same.
        bounded: of results that cannot leave a known range.
        missing: tensors on the way from one quantized tensor to another that have none, in the graph's order.
    """

    calibrated: Mapping[str, float]
    recorded: Mapping[str, float]
    carried: Mapping[str, float]
    bounded: Mapping[str, float]
    missing: tuple[str, ...]

    def all(self) -> dict[str, float]:
        return {**self.calibrated, **self.recorded, **self.carried, **self.bounded}


def find_scales(
    graph: onnx.GraphProto, calibrated: Mapping[str, float], ranges: Mapping[str, Range], *, floats: Collection[str]
) -> Scales:
    """Scales for a graph without Q/DQ.

    A scale is carried over only where that is exact: down a node whose results are values of its input, and up such a
    node where nobody else reads the input, since rounding and clipping commute with moving, choosing and Relu. What
    calibration measured comes before what is merely bounded.

    Args:
        graph: not changed.
        calibrated: what the typed ONNX says.
        ranges: what calibration recorded besides.
        floats: names of the tensors that hold floats; shapes and indices need no scale.
    """
    index = GraphIndex(graph)
    known = dict(calibrated)
    carried = _carried(graph, index, known, floats)
    recorded = {
        name: (extent.magnitude or 1.0) / _LEVELS
        for name, extent in ranges.items()
        if name not in known and name in index.moving
    }
    known |= recorded
    carried |= _carried(graph, index, known, floats)
    bounded = {
        node.output[0]: _BOUNDED[node.op_type] / _LEVELS
        for node in graph.node
        if node.op_type in _BOUNDED and node.output[0] not in known and node.output[0] in index.moving
    }
    known |= bounded
    carried |= _carried(graph, index, known, floats)
    missing = tuple(name for name in _between(graph, calibrated) if name in floats and name not in known)
    return Scales(calibrated, recorded, carried, bounded, missing)


def _carried(
    graph: onnx.GraphProto, index: GraphIndex, known: dict[str, float], floats: Collection[str]
) -> dict[str, float]:
    """Carry scales down and up until nothing changes; what was found, which is added to `known` as well."""
    nodes = list(graph.node)
    found: dict[str, float] = {}
    before = -1
    while before != len(found):
        before = len(found)
        for carry, ordered in ((_down, nodes), (_up, nodes[::-1])):
            for node in ordered:
                new = {name: scale for name, scale in carry(node, index, known) if name in floats and name not in known}
                found |= new
                known |= new
    return found


def _down(node: onnx.NodeProto, index: GraphIndex, known: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    sources = _sources(node, index)
    scales = {known.get(name) for name in sources}
    if len(scales) == 1 and (scale := scales.pop()) is not None:
        yield from ((name, scale) for name in node.output if name)


def _up(node: onnx.NodeProto, index: GraphIndex, known: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    scale = known.get(node.output[0])
    if scale is not None and len(node.output) == 1:
        unshared = (name for name in _sources(node, index) if name in index.moving and index.only_reader(name) is node)
        yield from ((name, scale) for name in unshared)


def _sources(node: onnx.NodeProto, index: GraphIndex) -> tuple[str, ...]:
    """The inputs whose values, or zero, a node's results are; empty for a node that computes others."""
    if node.op_type in _CHOOSERS:
        return tuple(node.input)
    moves = node.op_type in _MOVERS or (
        (node.op_type == "Clip" and _keeps_zero(node, index))
        or (node.op_type == "Pad" and _pads_with_zero(node, index))
        or (node.op_type == "Resize" and _text(node, "mode", "nearest") == "nearest")
    )
    return tuple(node.input[:1]) if moves else ()


def _keeps_zero(node: onnx.NodeProto, index: GraphIndex) -> bool:
    """Whether a Clip only ever moves values towards zero. Bounds are attributes before opset 11, inputs since."""
    lowest = [entry.f for entry in node.attribute if entry.name == "min"]
    highest = [entry.f for entry in node.attribute if entry.name == "max"]
    for position, bounds in ((1, lowest), (2, highest)):
        if len(node.input) > position and node.input[position]:
            values = index.constant(node.input[position])
            if values is None:
                return False
            bounds.append(float(values.reshape(())))
    return all(bound <= 0 for bound in lowest) and all(bound >= 0 for bound in highest)


def _pads_with_zero(node: onnx.NodeProto, index: GraphIndex) -> bool:
    if _text(node, "mode", "constant") != "constant":
        return True
    if len(node.input) > 2 and node.input[2]:
        values = index.constant(node.input[2])
        return values is not None and not values.any()
    return not any(entry.f for entry in node.attribute if entry.name == "value")


def _text(node: onnx.NodeProto, name: str, default: str) -> str:
    return next((entry.s.decode() for entry in node.attribute if entry.name == name), default)


def _between(graph: onnx.GraphProto, quantized: Collection[str]) -> list[str]:
    """Tensors computed from a quantized one that lead to a quantized one, in the graph's order."""
    after, before = set(quantized), set(quantized)
    for node in graph.node:
        if not after.isdisjoint(node.input):
            after.update(filter(None, node.output))
    for node in list(graph.node)[::-1]:
        if not before.isdisjoint(node.output):
            before.update(filter(None, node.input))
    return [name for node in graph.node for name in node.output if name in after and name in before]
