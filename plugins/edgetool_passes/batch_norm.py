"""BatchNormalization into the weights beside it: y = a x + b, a = scale / sqrt(variance + epsilon), b = bias - a mean.

The arithmetic is Jacob et al., *Quantization and training of neural networks for efficient integer-arithmetic-only
inference*, 2018, section 3.2, and its mirror image for a normalization that stands in front.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from edgetool.graph.walk import node_label
from edgetool.qdq.index import GraphIndex, attribute

if TYPE_CHECKING:
    import numpy as np
    import onnx

    Array: TypeAlias = np.ndarray[Any, Any]

_CONVOLUTIONS = ("Conv", "ConvTranspose")


@dataclass(frozen=True, eq=False)
class Affine:
    """What a BatchNormalization does to each channel.

    Attributes:
        factor, shift: [channels], float64.
    """

    factor: Array
    shift: Array


@dataclass(frozen=True, slots=True)
class Folded:
    """What became of a graph's normalizations.

    Attributes:
        behind: how many went into the layer in front of them.
        ahead: how many went into the layer that follows.
        left: label -> why it is still there.
    """

    behind: int
    ahead: int
    left: Mapping[str, str]


def fold_normalizations(graph: onnx.GraphProto, ranks: Mapping[str, int]) -> Folded:
    """Fold every BatchNormalization of the main graph that can be folded, in place.

    Args:
        graph: its weights must be loaded, and stored as initializers.
        ranks: number of axes by tensor name, as far as known; products are folded only where it is 2.
    """
    behind = ahead = 0
    left: dict[str, str] = {}
    for number, node in enumerate(list(graph.node)):
        if node.op_type != "BatchNormalization":
            continue
        index = GraphIndex(graph)
        affine = _affine(node, index)
        if isinstance(affine, str):
            left[node_label(node, number)] = affine
        elif _into_what_is_in_front(node, affine, graph, index, ranks):
            behind += 1
        elif _into_what_follows(node, affine, graph, index):
            ahead += 1
        else:
            left[node_label(node, number)] = "no layer beside it can take it in"
    _drop_unread(graph)
    return Folded(behind, ahead, left)


def _affine(node: onnx.NodeProto, index: GraphIndex) -> Affine | str:
    """Its factors and shifts, or why they are not known."""
    import numpy as np

    if attribute(node, "training_mode", 0) or any(node.output[1:]):
        return "it computes statistics while the model runs"
    values = [index.constant(name) for name in node.input[1:5]]
    if any(value is None or name in index.moving for value, name in zip(values, node.input[1:5], strict=True)):
        return "its parameters are computed or are inputs"
    scale, bias, mean, variance = (np.asarray(value, np.float64) for value in values)
    epsilon = next((entry.f for entry in node.attribute if entry.name == "epsilon"), 1e-5)
    with np.errstate(invalid="ignore", divide="ignore"):
        factor = scale / np.sqrt(variance + epsilon)
    shift = bias - factor * mean
    if not (np.isfinite(factor).all() and np.isfinite(shift).all()):
        return "its parameters are not finite"
    return Affine(factor, shift)


def _into_what_is_in_front(
    node: onnx.NodeProto, affine: Affine, graph: onnx.GraphProto, index: GraphIndex, ranks: Mapping[str, int]
) -> bool:
    """Layer, perhaps an Add of one number a channel, normalization: the layer does it all."""
    added, layer = None, index.producers.get(node.input[0])
    constant: Array | float = 0.0
    if layer is not None and layer.op_type == "Add":
        added = layer
        moving = [name for name in added.input if name in index.moving]
        still = [name for name in added.input if name not in index.moving]
        if len(moving) != 1 or len(still) != 1 or (values := index.constant(still[0])) is None:
            return False
        layer = index.producers.get(moving[0])
        rank = ranks.get(moving[0])
        found = _by_channel(values, len(affine.factor), rank)
        if found is None:
            return False
        constant = found
    results = [part.output[0] for part in (layer, added) if part is not None]
    if layer is None or any(index.only_reader(name) is None for name in results):
        return False
    weight = index.constant(layer.input[1]) if len(layer.input) > 1 else None
    if weight is None or layer.input[1] in index.moving:
        return False
    scaled = _scaled_outputs(layer, weight, affine.factor, rank=ranks.get(layer.output[0]))
    bias = _bias(layer, index)
    if scaled is None or bias is None:
        return False
    shift = affine.factor * (bias + constant) + affine.shift
    layer.input[1] = _store(graph, scaled.astype(weight.dtype), layer.input[1])
    if layer.op_type == "MatMul":
        last = added or node
        del last.attribute[:]
        last.op_type = "Add"
        last.input[:] = [layer.output[0], _store(graph, shift.astype(weight.dtype), f"{node.input[2]}")]
        last.output[:] = [node.output[0]]
        if last is not node:
            graph.node.remove(node)
        return True
    layer.input[2:] = [_store(graph, shift.astype(weight.dtype), f"{layer.input[1]}_bias")]
    layer.output[0] = node.output[0]
    graph.node.remove(node)
    if added is not None:
        graph.node.remove(added)
    return True


def _into_what_follows(node: onnx.NodeProto, affine: Affine, graph: onnx.GraphProto, index: GraphIndex) -> bool:
    """A convolution that pads with nothing, or a Gemm: its weights take the factors, its bias takes the shifts."""
    layer = index.only_reader(node.output[0])
    if layer is None or layer.op_type not in ("Conv", "Gemm") or layer.input[0] != node.output[0]:
        return False
    weight, bias = index.constant(layer.input[1]), _bias(layer, index)
    if weight is None or bias is None or layer.input[1] in index.moving:
        return False
    if layer.op_type == "Conv":
        if _pads(layer):
            return False
        groups = attribute(layer, "group", 1)
        inputs = affine.factor.reshape(groups, 1, -1).repeat(weight.shape[0] // groups, 1)
        shifts = affine.shift.reshape(groups, 1, -1).repeat(weight.shape[0] // groups, 1)
        spread = (*weight.shape[:2], *([1] * (weight.ndim - 2)))
        scaled, moved = weight * inputs.reshape(spread), weight * shifts.reshape(spread)
        total = bias + moved.reshape(weight.shape[0], -1).sum(axis=1)
    else:
        across = (1, -1) if attribute(layer, "transB", 0) else (-1, 1)
        scaled = weight * affine.factor.reshape(across)
        moved = weight * affine.shift.reshape(across)
        total = bias + _alpha(layer) * moved.sum(axis=across.index(-1))
    layer.input[0] = node.input[0]
    layer.input[1] = _store(graph, scaled.astype(weight.dtype), layer.input[1])
    layer.input[2:] = [_store(graph, total.astype(weight.dtype), f"{layer.input[1]}_bias")]
    graph.node.remove(node)
    return True


def _scaled_outputs(layer: onnx.NodeProto, weight: Array, factor: Array, *, rank: int | None) -> Array | None:
    """The weight with every output channel times its factor, in float64; None where the layer is none of ours."""
    channels = len(factor)
    match layer.op_type:
        case "Conv" if weight.shape[0] == channels:
            return weight * factor.reshape(-1, *([1] * (weight.ndim - 1)))
        case "ConvTranspose":
            groups = attribute(layer, "group", 1)
            if weight.shape[1] * groups != channels:
                return None
            rows = factor.reshape(groups, 1, -1).repeat(weight.shape[0] // groups, 1)
            return weight * rows.reshape(*weight.shape[:2], *([1] * (weight.ndim - 2)))
        case "Gemm":
            flipped = attribute(layer, "transB", 0)
            if weight.shape[0 if flipped else 1] != channels:
                return None
            return weight * factor.reshape((-1, 1) if flipped else (1, -1))
        case "MatMul" if weight.ndim == 2 and rank == 2 and weight.shape[1] == channels:
            return weight * factor
        case _:
            return None


def _bias(layer: onnx.NodeProto, index: GraphIndex) -> Array | None:
    """One number for each output channel, zeros where there is none; None where it is not known."""
    import numpy as np

    if layer.op_type == "MatMul" or len(layer.input) < 3 or not layer.input[2]:
        return np.zeros(1)
    values = index.constant(layer.input[2])
    if values is None or layer.input[2] in index.moving:
        return None
    if layer.op_type in _CONVOLUTIONS:
        return np.asarray(values, np.float64)
    beta = next((entry.f for entry in layer.attribute if entry.name == "beta"), 1.0)
    if beta != 1.0 or (values.ndim == 2 and values.shape[0] != 1) or values.ndim > 2:
        return None
    return np.asarray(values, np.float64).reshape(-1)


def _alpha(layer: onnx.NodeProto) -> float:
    return next((entry.f for entry in layer.attribute if entry.name == "alpha"), 1.0)


def _pads(layer: onnx.NodeProto) -> bool:
    """Whether zeros are added at the borders: a shift in front of them is not a shift behind them."""
    for entry in layer.attribute:
        if entry.name == "auto_pad" and entry.s not in (b"", b"NOTSET", b"VALID"):
            return True
        if entry.name == "pads" and any(entry.ints):
            return True
    return False


def _by_channel(values: Array, channels: int, rank: int | None) -> Array | None:
    """A constant as one number a channel (the second axis); None where it varies along others."""
    import numpy as np

    if values.size == 1:
        return np.full(channels, float(values.reshape(())), np.float64)
    if rank is None or values.ndim > rank:
        return None
    shape = (1,) * (rank - values.ndim) + values.shape
    return np.asarray(values, np.float64).reshape(-1) if shape == (1, channels, *([1] * (rank - 2))) else None


def _store(graph: onnx.GraphProto, values: Array, wish: str) -> str:
    """A new initializer; the old one may have other readers."""
    import numpy as np
    from onnx import numpy_helper

    taken = {tensor.name for tensor in graph.initializer} | {name for node in graph.node for name in node.output}
    name, count = f"{wish}_folded", 1
    while name in taken:
        count += 1
        name = f"{wish}_folded_{count}"
    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
    return name


def _drop_unread(graph: onnx.GraphProto) -> None:
    """Remove initializers that lost their last reader."""
    index = GraphIndex(graph)
    for place in reversed(range(len(graph.initializer))):
        name = graph.initializer[place].name
        if name not in index.readers and name not in index.outside:
            del graph.initializer[place]
            for spot in reversed([spot for spot, row in enumerate(graph.input) if row.name == name]):
                del graph.input[spot]
