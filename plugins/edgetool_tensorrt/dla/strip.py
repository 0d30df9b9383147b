"""Takes Q/DQ out of a graph: activations are read as they were, weights become float again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgetool.graph.walk import graphs, node_label
from edgetool.qdq.editor import GraphEditor
from edgetool.qdq.index import GraphIndex
from edgetool.qdq.pairs import ActivationPair, activation_pairs
from edgetool_tensorrt.dla.refusals import quantization_unfit
from edgetool_tensorrt.dla.weights import comes_back, dequantized, is_plain

if TYPE_CHECKING:
    import onnx

_QDQ = ("QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True, slots=True)
class Stripped:
    """What was taken out.

    Attributes:
        scales: of the tensors that were quantized, in the graph's order.
        quantized: labels of the nodes that read them: those that are meant to compute in int8.
        weights: how many constants became float.
        rounded_anew: how many of them an int8 of TensorRT's own choice will not represent exactly.
    """

    scales: Mapping[str, float]
    quantized: Mapping[str, onnx.NodeProto]
    weights: int
    rounded_anew: int


def strip(graph: onnx.GraphProto, *, where: str) -> Stripped:
    """Remove all QuantizeLinear and DequantizeLinear nodes.

    Args:
        graph: edited in place; what is not Q/DQ keeps the names of its nodes and tensors.
        where: the model's file, for messages.

    Raises:
        ModelError: `dla-quantization-unfit`, for Q/DQ that one symmetric int8 scale a tensor cannot stand for.
    """
    index = GraphIndex(graph)
    pairs = {
        node.output[0]: pair
        for pair in activation_pairs(graph)
        if pair.tensor in index.moving
        for node in pair.dequantize
    }
    constants = [
        node for node in graph.node if node.op_type == "DequantizeLinear" and node.output[0] not in index.moving
    ]
    scales = {_root(pair.tensor, pairs): pair.scale for pair in pairs.values()}
    _refuse_unfit(graph, index, pairs, constants, scales, where)
    quantized = {
        node_label(node, place): node
        for place, node in enumerate(graph.node)
        if node.op_type != "QuantizeLinear" and any(name in pairs for name in node.input)
    }
    editor = GraphEditor(graph)
    inexact = 0
    for node in constants:
        inexact += not comes_back(node, index)
        values = dequantized(node, index)
        _replace(editor, index, node, editor.constant(values, f"{node.input[0]}_float"))
    for pair in pairs.values():
        for node in pair.dequantize:
            _replace(editor, index, node, _root(pair.tensor, pairs))
    editor.commit()
    _forget_removed(graph)
    return Stripped(scales, quantized, len(constants), inexact)


def _root(tensor: str, pairs: Mapping[str, ActivationPair]) -> str:
    """The float tensor behind a chain of pairs."""
    while tensor in pairs:
        tensor = pairs[tensor].tensor
    return tensor


def _refuse_unfit(
    graph: onnx.GraphProto,
    index: GraphIndex,
    pairs: Mapping[str, ActivationPair],
    constants: list[onnx.NodeProto],
    scales: Mapping[str, float],
    where: str,
) -> None:
    fitting = {id(node) for node in constants if is_plain(node, index)}
    for pair in pairs.values():
        if pair.is_symmetric_int8 and pair.scale == scales[_root(pair.tensor, pairs)]:
            fitting.update(map(id, (pair.quantize, *pair.dequantize)))
    unfit = [
        node_label(node, place)
        for place, node in enumerate(graph.node)
        if node.op_type in _QDQ
        and id(node) not in fitting
        and (node.op_type == "DequantizeLinear" or node.output[0] in index.moving)
    ]
    unfit += [
        node_label(node, place)
        for inner in list(graphs(graph))[1:]
        for place, node in enumerate(inner.node)
        if node.op_type in _QDQ
    ]
    if unfit:
        raise quantization_unfit(unfit, where=where)


def _replace(editor: GraphEditor, index: GraphIndex, node: onnx.NodeProto, name: str) -> None:
    """Let all who read a node's output read another tensor; the world outside goes on reading the old name."""
    output = node.output[0]
    for reader, position in _reads(index, output):
        editor.redirect(reader, position, name)
    if output in index.outside:
        editor.retire(node)
        editor.node_named("Identity", [name], output)


def _reads(index: GraphIndex, tensor: str) -> Iterator[tuple[onnx.NodeProto, int]]:
    readers = {id(node): node for node in index.readers.get(tensor, [])}
    for node in readers.values():
        yield from ((node, position) for position, name in enumerate(node.input) if name == tensor)


def _forget_removed(graph: onnx.GraphProto) -> None:
    """Types of tensors that are gone would only mislead."""
    present = {name for node in graph.node for name in node.output}
    for value in [value for value in graph.value_info if value.name not in present]:
        graph.value_info.remove(value)
