"""Follows channels through a graph: what each operator does to the axes of tensors.

The idea is that of G. Fang et al., "DepGraph: Towards Any Structural Pruning" (2023), done by position instead of by
layer: every position along an axis of a weight has a number, and every operator says which positions belong together.
Reshapes, concatenations, groups and attention heads then need no case of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeAlias

from edgetool.graph.opset import opset_of
from edgetool.graph.walk import node_label
from edgetool.qdq.index import GraphIndex, captured
from edgetool_passes.pruning.coordinates import Coordinates
from edgetool_passes.pruning.layer import Layer, layer_of

if TYPE_CHECKING:
    import numpy as np
    import onnx

    from edgetool_passes.pruning.edits import Edit

    Array = np.ndarray[Any, Any]

Axis: TypeAlias = "Array | None"
"""Positions along an axis; None where nothing can be removed: batch, space, time."""
Axes: TypeAlias = "tuple[Axis, ...]"
Rule: TypeAlias = "Callable[[Trace, onnx.NodeProto], None]"


class Trace:
    """What is known of the channels of a graph, filled by the rules node by node.

    Attributes:
        graph: it.
        opset: of ONNX's own operators.
        index: a reading of the graph.
        shapes: concrete shape of every tensor, as far as it is known.
        coordinates: which positions belong together.
        layers: the weighted nodes met so far.
        norms: names of the scales of BatchNormalization nodes met so far.
        edits: what else has to change in the graph when channels go.
        keep_heads: attention heads stay.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        shapes: Mapping[str, tuple[int, ...]],
        *,
        exclude: Sequence[str] = (),
        keep_heads: bool = False,
    ) -> None:
        self.graph = graph = model.graph
        self.opset = opset_of(model)
        self.index = GraphIndex(graph)
        self.shapes = shapes
        self.coordinates = Coordinates()
        self.layers: list[Layer] = []
        self.norms: list[str] = []
        self.edits: list[Edit] = []
        self.keep_heads = keep_heads
        self._exclude = exclude
        self._fed = {value.name for value in graph.input}
        self._axes: dict[str, Axes | None] = {}
        self._sizes: dict[str, Axes] = {}
        self._labels = {tuple(node.output): node_label(node, number) for number, node in enumerate(graph.node)}

    def follow(self, rules: Mapping[str, Rule]) -> None:
        """Walk through all nodes, then pin what leaves the graph."""
        for value in self.graph.input:
            shape = self.shapes.get(value.name)
            self._axes[value.name] = None if shape is None else (None,) * len(shape)
        for node in self.graph.node:
            if self.index.moving.isdisjoint(node.output):
                self._keep_inputs(node, "it computes a constant; put `simplify` first")
                continue
            self._guard_sizes(node)
            rule = rules.get(node.op_type) if node.domain in ("", "ai.onnx") else None
            if rule is None:
                self.give_up(node, f"edgetool does not know what {node.op_type} does to channels")
            else:
                rule(self, node)
        for name in self.index.outside:
            self.pin(name, f"they reach {name!r}, which leaves the graph")

    # ------------------------------------------------------------------------------------------ reading

    def label(self, node: onnx.NodeProto) -> str:
        return self._labels[tuple(node.output)]

    def axes(self, name: str) -> Axes | None:
        """The axes of a tensor; None where not even their number is known."""
        if name not in self._axes:
            shape = self.stored_shape(name)
            if shape is None:
                known = self.shapes.get(name)  # constants that nodes compute
                self._axes[name] = None if known is None else (None,) * len(known)
            else:
                self._axes[name] = tuple(self.coordinates.fresh(size) for size in shape)
        return self._axes[name]

    def stored(self) -> dict[str, Axes]:
        """The axes of all initializers that were read so far."""
        return {name: axes for name, axes in self._axes.items() if name in self.index.initializers and axes is not None}

    def stored_shape(self, name: str) -> tuple[int, ...] | None:
        """Shape of an initializer that nobody can feed."""
        tensor = self.index.initializers.get(name)
        return None if tensor is None or name in self._fed else tuple(tensor.dims)

    def size(self, name: str, axis: int) -> int | None:
        """Length of an axis, counted from the front or the back."""
        axes = self.axes(name)
        positions = axes[axis] if axes is not None else None
        if positions is not None:
            return len(positions)
        if name in self._sizes:
            return len(self._sizes[name])
        shape = self.shapes.get(name)
        return None if shape is None else shape[axis]

    def layer(self, node: onnx.NodeProto) -> Layer | None:
        """The node as a layer, remembered; None when it has no stored weight."""
        found = layer_of(node, self.label(node), self.index, self._fed)
        if found is not None:
            self.layers.append(found)
            if any(fnmatchcase(found.label, pattern) for pattern in self._exclude):
                self.pin_axis((self.axes(found.weight) or ())[found.outputs], "excluded by the recipe")
        return found

    # ------------------------------------------------------------------------------------------ deciding

    def put(self, name: str, axes: Axes | None) -> None:
        """Say what the axes of a node's result are."""
        if name:
            self._axes[name] = axes

    def put_sizes(self, name: str, axes: Axes) -> None:
        """Say that a vector holds the sizes of these axes."""
        self.put(name, (None,))
        self._sizes[name] = axes

    def sizes(self, name: str) -> Axes | None:
        """The axes whose sizes a vector holds."""
        return self._sizes.get(name)

    def pin_axis(self, axis: Axis, reason: str) -> None:
        if axis is not None:
            self.coordinates.pin(axis, reason)

    def pin(self, name: str, reason: str) -> None:
        """Keep everything along all axes of a tensor."""
        for axis in self.axes(name) or ():
            self.pin_axis(axis, reason)

    def bind(self, these: Axis, those: Axis, reason: str) -> None:
        """Tie two axes of one length; where one of them must stay, so does the other."""
        if these is None or those is None:
            self.pin_axis(these, reason)
            self.pin_axis(those, reason)
        else:
            self.coordinates.tie(these, those)

    def meet(self, operands: Sequence[tuple[str, int]], reason: str) -> Axis:
        """Tie axes that an operator lines up, where those of length 1 are repeated.

        Args:
            operands: name of a tensor and its axis, counted from the back.
            reason: why the others stay when one of them must.

        Returns:
            The axis of the result.
        """
        wide = [(name, axis) for name, axis in operands if self.size(name, axis) != 1]
        axes = [(self.axes(name) or ())[axis] for name, axis in wide]
        tracked = [axis for axis in axes if axis is not None]
        if len(tracked) < len(axes):
            for axis in tracked:
                self.pin_axis(axis, reason)
            return None
        for axis in tracked[1:]:
            self.coordinates.tie(tracked[0], axis)
        return tracked[0] if tracked else None

    def give_up(self, node: onnx.NodeProto, reason: str) -> None:
        """Keep all that a node reads."""
        self._keep_inputs(node, reason)
        for name in filter(None, node.output):
            shape = self.shapes.get(name)
            self.put(name, None if shape is None else (None,) * len(shape))

    def _keep_inputs(self, node: onnx.NodeProto, reason: str) -> None:
        for name in (*node.input, *captured(node)):
            if name:
                self.pin(name, f"{self.label(node)} reads them: {reason}")

    def _guard_sizes(self, node: onnx.NodeProto) -> None:
        """A number of channels that the graph computes with must not change."""
        if node.op_type in ("Gather", "Slice"):
            return
        for name in node.input:
            for axis in self._sizes.get(name, ()):
                self.pin_axis(axis, f"{self.label(node)} computes with their number; put `simplify` first")
