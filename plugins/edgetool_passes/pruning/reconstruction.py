"""Fits the layers that lost input channels anew, so that they give what they gave before.

After Y. He et al., "Channel Pruning for Accelerating Very Deep Neural Networks" (2017): layer by layer, in the graph's
order, `min ‖Y - (X W + b)‖²` with the output `Y` of the untouched network and the input `X` of the pruned one, in which
all layers before are fitted already. A ridge towards the weights that are left keeps few samples from being believed
too much. Where the layer ends a residual branch, `Y` is the sum behind it less the pruned shortcut, so that the layer
also makes up for what the shortcut lost.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool.qdq.editor import GraphEditor
from edgetool.qdq.index import GraphIndex
from edgetool.runner import Feeds
from edgetool_passes.pruning.ending import Ending, ending_of, other_summand
from edgetool_passes.pruning.layer import Layer
from edgetool_passes.pruning.least_squares import LeastSquares
from edgetool_passes.pruning.moments import WIDEST
from edgetool_passes.pruning.observation import Observation, Tap
from edgetool_passes.pruning.rows import adds_bias, input_rows, output_rows

if TYPE_CHECKING:
    import numpy as np
    import onnx

    Array = np.ndarray[Any, Any]


_FLOAT = 1  # onnx.TensorProto.FLOAT


@dataclass(frozen=True, eq=False)
class Refit:
    """One layer to fit.

    Attributes:
        before: the layer in the untouched model.
        outputs: bool [outputs]: which of its output channels are left.
    """

    before: Layer
    outputs: Array


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
        index = GraphIndex(pruned.graph)
        node = index.producers[refit.before.node.output[0]]
        if _can_fit(index, refit.before, node):
            ending = _without_unlike(ending_of(index, node), node, shapes)
            _fit(original, pruned, refit, node, ending, observation)
            fitted += 1
    return fitted


def _can_fit(index: GraphIndex, layer: Layer, node: onnx.NodeProto) -> bool:
    weight = node.input[1]
    if not layer.is_matrix or layer.groups != 1 or index.only_reader(weight) is None:
        return False
    stored = index.initializers[weight]
    sizes = tuple(stored.dims)
    if stored.data_type != _FLOAT or math.prod(sizes) // sizes[layer.outputs] > WIDEST:
        return False
    scaled = any(entry.f != 1 for entry in node.attribute if entry.name in ("alpha", "beta"))
    return not scaled and (ending_of(index, node).bias is not None or not adds_bias(node))


def _without_unlike(ending: Ending, node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> Ending:
    """A summand of another shape is no shortcut."""
    if ending.shortcut is None or shapes.get(ending.shortcut) == shapes.get(node.output[0]):
        return ending
    behind_bias = node if ending.bias is None else ending.bias
    return Ending(behind_bias.output[0], None, ending.bias)


def _fit(
    original: onnx.ModelProto,
    pruned: onnx.ModelProto,
    refit: Refit,
    node: onnx.NodeProto,
    ending: Ending,
    observation: Observation,
) -> None:
    import numpy as np
    from onnx import numpy_helper

    data, layer = node.input[0], refit.before
    squares = LeastSquares(constant=ending.bias is not None)
    shortcut = (ending.shortcut,) if ending.shortcut is not None else ()
    feeds_seen = 0

    def see(values: Sequence[Feeds]) -> None:
        nonlocal feeds_seen
        target, current = values[0][ending.result], values[1]
        kept = target[:, refit.outputs] if layer.node.op_type == "Conv" else target[..., refit.outputs]
        if ending.shortcut is not None:
            kept = kept - current[ending.shortcut]
        x, y = input_rows(layer, current[data])[0], output_rows(layer, kept)
        middle = len(x) // 2 if len(current[data]) > 1 else len(x) * (feeds_seen % 2)
        squares.add(x[:middle], y[:middle], half=0)
        squares.add(x[middle:], y[middle:], half=1)
        feeds_seen += 1

    taps = (Tap(original, (ending.result,)), Tap(pruned, (data, *shortcut)))
    observation.look(taps, see, purpose=f"samples to fit {layer.label}")
    index = GraphIndex(pruned.graph)
    stored = index.initializers[node.input[1]]
    weight = layer.matrix(index.values(stored.name))[0].astype(np.float64)
    if ending.bias is None:
        weight = squares.solve(weight.T).T
    else:
        bias = _stored_bias(index, node, ending.bias, outputs=len(weight))
        *rows, constant = squares.solve(np.concatenate([weight, bias[:, None]], axis=1).T)
        weight = np.stack(rows, axis=1)
        _store_bias(pruned.graph, node, ending.bias, constant.astype(np.float32))
    fitted = layer.weight_of(weight.astype(np.float32)[None])
    stored.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(fitted), stored.name))


def _stored_bias(index: GraphIndex, node: onnx.NodeProto, adding: onnx.NodeProto, *, outputs: int) -> Array:
    """The bias as it is, zeros where there is none yet; float64 [outputs]."""
    import numpy as np

    name = other_summand(adding, node.output[0])
    if adding is node:
        name = node.input[2] if len(node.input) > 2 else ""
    return index.values(name).astype(np.float64) if name else np.zeros(outputs)


def _store_bias(graph: onnx.GraphProto, node: onnx.NodeProto, adding: onnx.NodeProto, bias: Array) -> None:
    editor = GraphEditor(graph)
    if adding is not node:
        position = 1 - list(adding.input).index(node.output[0])
        editor.redirect(adding, position, editor.constant(bias, adding.input[position]))
    elif len(node.input) > 2:
        editor.redirect(node, 2, editor.constant(bias, node.input[2] or f"{node.output[0]}_bias"))
    else:
        node.input.append(editor.constant(bias, f"{node.output[0]}_bias"))
    editor.commit()
