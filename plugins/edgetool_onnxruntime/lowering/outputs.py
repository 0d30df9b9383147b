"""The missing output pairs: ONNX Runtime runs a convolution in int8 only when its result is quantized too.

A typed ONNX quantizes the inputs of weighted operators and leaves their results float. Here pairs are added on the
results of convolutions and, from there on, of pools, adds, joins and the like, as long as all that they read is
quantized. Nothing that begins with a MatMul is touched: those kernels write float, and transformers need it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgetool.qdq.editor import GraphEditor
from edgetool.qdq.index import GraphIndex
from edgetool.qdq.pairs import ActivationPair, Grid, activation_pairs, interpose_pair, requantize, store_grid
from edgetool.qdq.ranges import Range

if TYPE_CHECKING:
    import onnx

_SAME_VALUES = frozenset({"MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze"})
"""Their results are some of their inputs' values: in and out must share one scale."""
_INT8_KERNELS = frozenset({"Add", "Mul", "AveragePool", "GlobalAveragePool", "Concat", "Sigmoid", "LeakyRelu"})
_FUSED_ACTIVATIONS = frozenset({"Relu", "Clip"})
_WORST_JOIN = 0.25
"""Concat gives all its inputs one scale; inputs whose ranges differ by more than this would lose their detail."""


def quantize_outputs(graph: onnx.GraphProto, ranges: Mapping[str, Range], *, uint8: bool) -> int:
    """Add output pairs with recorded ranges; how many were added.

    Args:
        graph: edited in place.
        ranges: calibrated ranges by tensor name. A tensor without one stays float.
        uint8: the integer type of the new pairs, int8 otherwise; zero points are where the range wants them.
    """
    region = _Region(graph, ranges, uint8=uint8)
    for node in list(graph.node):
        region.visit(node)
    region.editor.commit()
    return region.added


def _has_kernels(pair: ActivationPair) -> bool:
    """Whether kernels compute with its integers; what is quantized to 16 bits is computed in float."""
    return pair.zero_point.dtype.itemsize == 1


class _Region:
    """The part of the graph that is quantized throughout; grows as nodes are visited in order."""

    def __init__(self, graph: onnx.GraphProto, ranges: Mapping[str, Range], *, uint8: bool) -> None:
        self.editor = GraphEditor(graph)
        self.added = 0
        self._index = GraphIndex(graph)
        self._ranges = ranges
        self._uint8 = uint8
        pairs = activation_pairs(graph)
        self._pairs: dict[str, ActivationPair] = {pair.tensor: pair for pair in pairs if _has_kernels(pair)}
        self._finer = {pair.tensor for pair in pairs if not _has_kernels(pair)}
        self._grids: dict[str, Grid] = {}
        for pair in self._pairs.values():
            for dequantize in pair.dequantize:
                self._grids[dequantize.output[0]] = pair.grid

    def visit(self, node: onnx.NodeProto) -> None:
        if node.op_type == "Conv":
            if node.input[0] in self._grids and self._is_dequantized_weight(node.input[1]):
                self._close(self._after_activation(node.output[0]))
        elif node.op_type in _SAME_VALUES:
            if self._joins(node, (0,)):
                self._close(node.output[0], self._grids[node.input[0]])
        elif (
            node.op_type in _INT8_KERNELS
            and self._joins(node, range(len(node.input)))
            and (node.op_type != "Concat" or self._are_alike(node))
        ):
            self._close(self._after_activation(node.output[0]))

    def _is_dequantized_weight(self, name: str) -> bool:
        producer = self._index.producers.get(name)
        return producer is not None and producer.op_type == "DequantizeLinear" and name not in self._grids

    def _joins(self, node: onnx.NodeProto, positions: range | tuple[int, ...]) -> bool:
        """Whether all these inputs are quantized, or are tensors that have a pair for others; then use the pair."""
        if not all(
            node.input[position] in self._grids or node.input[position] in self._pairs for position in positions
        ):
            return False
        if not self._goes_on(self._after_activation(node.output[0])):
            return False
        for position in positions:
            if (pair := self._pairs.get(node.input[position])) is not None:
                self.editor.redirect(node, position, pair.output)
        return True

    def _goes_on(self, tensor: str) -> bool:
        """Whether somebody reads the tensor who can make use of integers."""
        readers = {reader.op_type for reader in self._index.readers.get(tensor, [])}
        return not readers.isdisjoint(_SAME_VALUES | _INT8_KERNELS | {"QuantizeLinear"})

    def _are_alike(self, node: onnx.NodeProto) -> bool:
        steps = [self._grids[name].step for name in node.input]
        return min(steps) >= _WORST_JOIN * max(steps)

    def _after_activation(self, tensor: str) -> str:
        """The result of the Relu or Clip that alone reads a tensor: the kernel computes it on the way out."""
        reader = self._index.only_reader(tensor)
        return str(reader.output[0]) if reader is not None and reader.op_type in _FUSED_ACTIVATIONS else tensor

    def _close(self, tensor: str, grid: Grid | None = None) -> None:
        """Make sure that a result is quantized for all its readers, on the given grid if there is one."""
        pair = self._pairs.get(tensor)
        if pair is None:
            grid = grid or self._recorded_grid(tensor)
            if grid is None or tensor in self._finer:
                return
            interpose_pair(self.editor, tensor, grid)
            self._grids[tensor] = grid
            self.added += 1
            return
        if grid is not None:
            requantize(self.editor, pair, grid)
            self._grids.update({dequantize.output[0]: grid for dequantize in pair.dequantize})
        if tensor not in self._index.outside:
            self._use_pair_everywhere(pair)

    def _use_pair_everywhere(self, pair: ActivationPair) -> None:
        """A result that is also read as float would have to be computed twice."""
        for reader in self._index.readers.get(pair.tensor, []):
            for position, name in enumerate(reader.input):
                if name == pair.tensor and reader is not pair.quantize:
                    self.editor.redirect(reader, position, pair.output)

    def _recorded_grid(self, tensor: str) -> Grid | None:
        import numpy as np

        recorded = self._ranges.get(tensor)
        if recorded is None:
            return None
        scale = (recorded.high - recorded.low) / 255 or 1.0
        zero_point = round(-recorded.low / scale)
        integer = np.uint8(zero_point) if self._uint8 else np.int8(zero_point - 128)
        return store_grid(self.editor, tensor, scale=scale, zero_point=integer)
