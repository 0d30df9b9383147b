"""Fits the layers that lost input channels anew, so that they give what they gave before.

After Y. He et al., "Channel Pruning for Accelerating Very Deep Neural Networks" (2017): layer by layer, in the graph's
order, `min ‖Y - (X W + b)‖²` with the output `Y` of the untouched network and the input `X` of the pruned one, in which
all layers before are fitted already. A ridge towards the weights that are left keeps few samples from being believed
too much. Where the layer ends a residual branch, `Y` is the sum behind it less the pruned shortcut, so that the layer
also makes up for what the shortcut lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool.qdq.editor import GraphEditor
from edgetool.qdq.index import GraphIndex
from edgetool.runner import Feeds
from edgetool_passes.pruning.layer import Layer
from edgetool_passes.pruning.least_squares import LeastSquares
from edgetool_passes.pruning.moments import WIDEST
from edgetool_passes.pruning.observation import Observation, Tap
from edgetool_passes.pruning.rows import adds_bias, input_rows, output_rows

if TYPE_CHECKING:
    import numpy as np
    import onnx

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Refit:
    """One layer to fit.

    Attributes:
        before: the layer in the untouched model.
        outputs: bool [outputs]: which of its output channels are left.
    """

    before: Layer
    outputs: Array


@dataclass(frozen=True, eq=False)
class _Place:
    """What is around the layer in the pruned graph.

    Attributes:
        node: it.
        result: the tensor to reproduce: its own, or the residual sum behind it.
        shortcut: the other summand, or None.
        bias_of: the node whose second or third input is the bias; None where there is none to fit.
    """

    node: onnx.NodeProto
    result: str
    shortcut: str | None
    bias_of: onnx.NodeProto | None


def reconstruct(
    original: onnx.ModelProto,
    pruned: onnx.ModelProto,
    refits: Sequence[Refit],
    observation: Observation,
    *,
    shapes: Mapping[str, tuple[int, ...]],
) -> int:
    """Fit the layers of `pruned`, in place and in the given order (the graph's).

    Args:
        original: the untouched model.
        pruned: what is left of it, with the same tensor names.
        refits: layers that lost input channels.
        observation: the samples; two part runs for each layer.
        shapes: of the untouched model's tensors.

    Returns:
        How many could be fitted; layers with shared weights, scaled Gemm and very wide inputs are left as they are.
    """
    fitted = 0
    for refit in refits:
        place = _place(pruned.graph, refit.before, shapes)
        if place is not None:
            _fit(original, pruned, refit, place, observation)
            fitted += 1
    return fitted


def _place(graph: onnx.GraphProto, layer: Layer, shapes: Mapping[str, tuple[int, ...]]) -> _Place | None:
    index = GraphIndex(graph)
    node = index.producers[layer.node.output[0]]
    weight = node.input[1]
    if not layer.is_matrix or layer.groups != 1 or index.only_reader(weight) is None:
        return None
    if index.initializers[weight].data_type != 1 or _width(layer, index.initializers[weight]) > WIDEST:
        return None
    if any(entry.f != 1 for entry in node.attribute if entry.name in ("alpha", "beta")):
        return None
    bias_of: onnx.NodeProto | None = None
    tensor = node.output[0]
    if adds_bias(node):
        own = node.input[2] if len(node.input) > 2 else ""
        if own and not _is_own_vector(index, own):
            return None
        bias_of = node
    elif (reader := index.only_reader(tensor)) is not None and _is_own_vector(index, _other(reader, tensor)):
        bias_of, tensor = reader, reader.output[0]
    reader = index.only_reader(tensor)
    shortcut = _other(reader, tensor) if reader is not None else ""
    if reader is not None and shortcut in index.moving and _alike(shapes, tensor, shortcut):
        return _Place(node, reader.output[0], shortcut, bias_of)
    return _Place(node, tensor, None, bias_of)


def _alike(shapes: Mapping[str, tuple[int, ...]], one: str, other: str) -> bool:
    return one in shapes and shapes[one] == shapes.get(other)


def _other(node: onnx.NodeProto, tensor: str) -> str:
    """The other summand of an Add; empty for other nodes."""
    if node.op_type != "Add":
        return ""
    first, second = node.input
    return str(second if first == tensor else first)


def _is_own_vector(index: GraphIndex, name: str) -> bool:
    """Whether it is a stored number for each channel that nobody else reads."""
    stored = index.initializers.get(name)
    is_vector = stored is not None and len(stored.dims) == 1 and stored.dims[0] > 1
    return is_vector and index.only_reader(name) is not None


def _width(layer: Layer, weight: onnx.TensorProto) -> int:
    import math

    sizes: tuple[int, ...] = tuple(weight.dims)
    return math.prod(sizes) // sizes[layer.outputs]


def _fit(
    original: onnx.ModelProto, pruned: onnx.ModelProto, refit: Refit, place: _Place, observation: Observation
) -> None:
    import numpy as np
    from onnx import numpy_helper

    data, layer = place.node.input[0], refit.before
    squares = LeastSquares(constant=place.bias_of is not None)
    shortcut = (place.shortcut,) if place.shortcut is not None else ()
    feeds_seen = 0

    def see(values: Sequence[Feeds]) -> None:
        nonlocal feeds_seen
        target, current = values[0][place.result], values[1]
        kept = target[:, refit.outputs] if layer.node.op_type == "Conv" else target[..., refit.outputs]
        if place.shortcut is not None:
            kept = kept - current[place.shortcut]
        x, y = input_rows(layer, current[data])[0], output_rows(layer, kept)
        middle = len(x) // 2 if len(current[data]) > 1 else len(x) * (feeds_seen % 2)
        squares.add(x[:middle], y[:middle], half=0)
        squares.add(x[middle:], y[middle:], half=1)
        feeds_seen += 1

    taps = (Tap(original, (place.result,)), Tap(pruned, (data, *shortcut)))
    observation.look(taps, see, purpose=f"samples to fit {layer.label}")
    index = GraphIndex(pruned.graph)
    stored = index.initializers[place.node.input[1]]
    weight = layer.matrix(index.values(stored.name))[0].astype(np.float64)
    if place.bias_of is None:
        weight = squares.solve(weight.T).T
    else:
        bias = _stored_bias(index, place, len(weight))
        *rows, constant = squares.solve(np.concatenate([weight, bias[:, None]], axis=1).T)
        weight = np.stack(rows, axis=1)
        _store_bias(pruned.graph, place, constant.astype(np.float32))
    fitted = layer.weight_of(weight.astype(np.float32)[None])
    stored.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(fitted), stored.name))


def _stored_bias(index: GraphIndex, place: _Place, outputs: int) -> Array:
    """The bias as it is, zeros where there is none yet; float64 [outputs]."""
    import numpy as np

    node = place.bias_of
    if node is None or (node is place.node and len(node.input) < 3):
        return np.zeros(outputs)
    name = node.input[2] if node is place.node else _other(node, place.node.output[0])
    return index.values(name).astype(np.float64) if name else np.zeros(outputs)


def _store_bias(graph: onnx.GraphProto, place: _Place, bias: Array) -> None:
    node = place.bias_of
    assert node is not None, "called where there is a bias to fit"
    editor = GraphEditor(graph)
    if node is not place.node:
        position = 1 - list(node.input).index(place.node.output[0])
        editor.redirect(node, position, editor.constant(bias, node.input[position]))
    elif len(node.input) > 2:
        editor.redirect(node, 2, editor.constant(bias, node.input[2] or f"{node.output[0]}_bias"))
    else:
        node.input.append(editor.constant(bias, f"{node.output[0]}_bias"))
    editor.commit()
