"""Puts stored integers in place of float weights, each behind one DequantizeLinear."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgetool_passes.weight_only.sites import Site
from edgetool_passes.weight_only.storage import StoredWeight
from edgetool_passes.weight_only.weights import Weight

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir


class Rewriter:
    """Edits one graph.

    Args:
        graph: edited in place.
    """

    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        self._names = {value.name for value in (*graph.inputs, *graph.initializers.values())}
        self._names |= {value.name for node in graph.all_nodes() for value in node.outputs}
        self._node_names = {node.name for node in graph.all_nodes()}
        self._places = {node: place for place, node in enumerate(graph)}

    def replace(self, weight: Weight, stored: StoredWeight) -> None:
        """Let all sites of a weight read the dequantized integers."""
        import onnx_ir as ir

        value, grain = weight.value, weight.grain
        attributes = {"axis": grain.axis, "block_size": grain.block} if grain.block else {"axis": grain.axis}
        dequantized = ir.Value(name=self._unused(f"{value.name}_dequantized"), shape=value.shape, type=value.type)
        node = ir.node(
            "DequantizeLinear",
            [self._initializer(tensor) for tensor in stored.tensors],
            attributes,
            outputs=[dequantized],
            name=self._unused_node(f"{value.name}_dequantize"),
        )
        self._graph.insert_before(weight.sites[0].node, node)
        for site in weight.sites:
            site.node.replace_input_with(site.position, dequantized)
        self._drop_unread(value)

    def divide(self, sites: Sequence[Site], factor: np.ndarray[Any, Any], *, axis: int) -> None:
        """Let the sites, which share one activation, read it divided by a factor for each index of its axis 1 or -1."""
        import onnx_ir as ir

        activation = sites[0].node.inputs[0]
        assert activation is not None  # it was watched
        behind = () if axis == -1 else (1,) * (len(sites[0].shape) - 2)
        inverse = ir.tensor((1 / factor).reshape(-1, *behind), name=f"{activation.name}_factor")
        divided = ir.Value(
            name=self._unused(f"{activation.name}_divided"), shape=activation.shape, type=activation.type
        )
        node = ir.node(
            "Mul",
            [activation, self._initializer(inverse)],
            outputs=[divided],
            name=self._unused_node(f"{activation.name}_divide"),
        )
        first = min(sites, key=lambda site: self._places[site.node])
        self._graph.insert_before(first.node, node)
        for site in sites:
            site.node.replace_input_with(0, divided)

    def _initializer(self, tensor: ir.TensorProtocol) -> ir.Value:
        import onnx_ir as ir

        tensor.name = self._unused(tensor.name or "constant")
        value = ir.Value(
            name=tensor.name, shape=ir.Shape(tensor.shape), type=ir.TensorType(tensor.dtype), const_value=tensor
        )
        self._graph.register_initializer(value)
        return value

    def _drop_unread(self, weight: ir.Value) -> None:
        if not weight.uses() and not weight.is_graph_output() and weight.name is not None:
            self._graph.initializers.pop(weight.name)

    def _unused(self, wish: str) -> str:
        return _reserve(wish, self._names)

    def _unused_node(self, wish: str) -> str:
        return _reserve(wish, self._node_names)


def _reserve(wish: str, taken: set[str | None]) -> str:
    name, count = wish, 1
    while name in taken:
        count += 1
        name = f"{wish}_{count}"
    taken.add(name)
    return name
