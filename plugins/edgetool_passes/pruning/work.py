"""Multiply-accumulates of a graph as a function of the units that are left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool.graph.macs import count_macs
from edgetool.graph.shapes import ShapedGraph, TensorType
from edgetool_passes.pruning.groups import Dependencies
from edgetool_passes.pruning.layer import Layer

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass(eq=False)
class _Node:
    """A node that multiplies: its work is proportional to what is left of each of these axes."""

    macs: float
    sizes: list[int]
    left: list[int]

    def work(self, change: dict[int, int]) -> float:
        """With so many positions fewer along some axes."""
        total = self.macs
        for axis, (size, left) in enumerate(zip(self.sizes, self.left, strict=True)):
            total *= (left - change.get(axis, 0)) / size
        return total


class Work:
    """Counts down as units go.

    Args:
        dependencies: of a graph.
        shapes: concrete shapes by tensor name.
    """

    def __init__(self, dependencies: Dependencies, types: dict[str, TensorType]) -> None:
        self._nodes: list[_Node] = []
        self._places: dict[int, dict[int, dict[int, int]]] = {}
        trace = dependencies.trace
        layers = {id(layer.node): layer for layer in trace.layers}
        for node in trace.graph.node:
            macs = _macs_of(node, types)
            if macs:
                self._add(macs, _axes(dependencies, node, layers.get(id(node))))
        self.total = sum(node.work({}) for node in self._nodes)

    @property
    def left(self) -> float:
        return sum(node.work({}) for node in self._nodes)

    def saving(self, units: Iterable[int]) -> float:
        """Multiply-accumulates that removing these units would save now."""
        return sum(
            self._nodes[number].work({}) - self._nodes[number].work(change)
            for number, change in self._changes(units).items()
        )

    def remove(self, units: Iterable[int]) -> None:
        for number, change in self._changes(units).items():
            for axis, count in change.items():
                self._nodes[number].left[axis] -= count

    def _changes(self, units: Iterable[int]) -> dict[int, dict[int, int]]:
        """Node -> axis -> how many positions the units hold there."""
        total: dict[int, dict[int, int]] = {}
        for unit in units:
            for number, counts in self._places.get(unit, {}).items():
                there = total.setdefault(number, {})
                for axis, count in counts.items():
                    there[axis] = there.get(axis, 0) + count
        return total

    def _add(self, macs: int, axes: list[Array]) -> None:
        number = len(self._nodes)
        self._nodes.append(_Node(macs, [len(axis) for axis in axes], [len(axis) for axis in axes]))
        for place, axis in enumerate(axes):
            for unit in axis.tolist():
                there = self._places.setdefault(unit, {}).setdefault(number, {})
                there[place] = there.get(place, 0) + 1


def _macs_of(node: Any, types: dict[str, TensorType]) -> int:
    import onnx

    return count_macs(ShapedGraph(onnx.GraphProto(node=[node]), types)).value


def _axes(dependencies: Dependencies, node: Any, layer: Layer | None) -> list[Array]:
    """The axes that a node's work is proportional to, as units."""
    trace = dependencies.trace
    if layer is not None:
        inputs = [] if layer.inputs is None else [dependencies.input_units(layer)]
        return [dependencies.output_units(layer), *inputs]
    contracted = (trace.axes(node.input[0]) or (None,))[-1] if node.op_type == "MatMul" else None
    axes = [*(trace.axes(node.output[0]) or ()), contracted]
    return [trace.coordinates.units(axis) for axis in axes if axis is not None]
