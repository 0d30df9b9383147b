"""Gives the channels of an activation similar ranges, so that one scale suits them all.

Follows M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (2019), section 4.1:
`f(W1 x) = s f(W1 x / s)` for every channel, where f is a Relu. There the factors even out weights that share one scale;
here every output channel of a weight has its own, so that they even out activations, by the ranges that were measured.
A depthwise convolution reads one channel an output: in front of it every channel can have the same range at no cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool.qdq.editor import GraphEditor
from edgetool.qdq.index import GraphIndex, attribute
from edgetool_passes.quantization.histogram import ChannelPeaks
from edgetool_passes.quantization.streams import Stream, is_depthwise

if TYPE_CHECKING:
    import numpy as np
    import onnx

    Array = np.ndarray[Any, Any]

_LARGEST_FACTOR = 32.0
"""Channels that were all but silent on the samples are not made louder than this."""
_SILENT = 1e-6
_UNUSED = 1e-3
"""Of a channel's largest weight in a reader, relative to the others: less makes no difference."""


@dataclass(frozen=True, eq=False)
class Equalized:
    """A stream and the numbers that its channels are divided by: float32 [channels], the largest 1."""

    stream: Stream
    factor: Array


def equalizable(found: Sequence[Stream], activations: Iterable[str]) -> tuple[Stream, ...]:
    """The streams of which something will be quantized."""
    wanted = set(activations)
    return tuple(stream for stream in found if not wanted.isdisjoint(stream.tensors))


def choose_factors(
    graph: onnx.GraphProto, stream: Stream, peaks: Sequence[ChannelPeaks], *, strength: float
) -> Equalized:
    """Factors `r^strength / w^(1 - strength)`: `r` is a channel's range, `w` its largest weight in any reader.

    Args:
        graph: holds the weights.
        stream: of this graph.
        peaks: of those of its tensors that will be quantized; at least one.
        strength: 1 gives all channels the same range; 0 looks at the weights only.
    """
    import numpy as np

    index = GraphIndex(graph)
    ranges = np.maximum.reduce([_relative(watch.largest) for watch in peaks])
    columns = [
        column for reader in stream.readers if (column := _columns(reader, index.values(reader.input[1]))) is not None
    ]
    factor = ranges**strength / np.maximum.reduce(columns) ** (1 - strength) if columns else ranges
    factor = np.maximum(factor / factor.max(), 1 / _LARGEST_FACTOR)
    if np.isfinite(stream.cap):
        # A Clip in between now cuts the channel at `factor * cap`.
        factor = np.maximum(factor, np.minimum(_reach(peaks) / stream.cap, 1))
    return Equalized(stream, factor.astype(np.float32))


def _reach(peaks: Sequence[ChannelPeaks]) -> Array:
    """How large a channel may become on other data: the more its peaks differ from sample to sample, the larger."""
    import numpy as np

    found = []
    for watch in peaks:
        spread = watch.largest / np.maximum(watch.mean, _SILENT)
        found.append(np.where(watch.largest > _SILENT, watch.largest * spread**2, np.inf))
    reach: Array = np.maximum.reduce(found)
    return reach


def equalize(graph: onnx.GraphProto, equalized: Sequence[Equalized]) -> dict[str, str]:
    """Divide and multiply the weights; the new names of the tensors, which no longer mean what they did.

    Args:
        graph: edited in place; its nodes stay the same objects.
        equalized: streams of this graph, each tensor in one of them at most.
    """
    import numpy as np

    index = GraphIndex(graph)
    nodes: dict[str, onnx.NodeProto] = {}
    weights: dict[str, Array] = {}
    biases: dict[str, Array] = {}
    for one in equalized:
        for node in (*one.stream.writers, *one.stream.readers):
            nodes.setdefault(node.output[0], node)
            weights.setdefault(node.output[0], index.values(node.input[1]))
        for node in one.stream.writers:
            key = node.output[0]
            weights[key] = _written(node, weights[key], one.factor)
            bias = index.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
            if bias is not None:
                biases[key] = np.broadcast_to(bias, np.broadcast_shapes(bias.shape, one.factor.shape)) / one.factor
        for node in one.stream.readers:
            weights[node.output[0]] = _read(node, weights[node.output[0]], one.factor)
    editor = GraphEditor(graph)
    for key, node in nodes.items():
        editor.redirect(node, 1, editor.constant(weights[key].astype(np.float32), f"{node.input[1]}_equalized"))
        if key in biases:
            editor.redirect(node, 2, editor.constant(biases[key].astype(np.float32), f"{node.input[2]}_equalized"))
    renamed = {name: editor.unused(f"{name}_equalized") for one in equalized for name in one.stream.tensors}
    editor.commit()
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    return renamed


def _relative(values: Array) -> Array:
    import numpy as np

    largest = values.max()
    relative: Array = values / largest if largest > 0 else np.ones_like(values)
    return np.maximum(relative, _SILENT)


def _columns(node: onnx.NodeProto, weight: Array) -> Array | None:
    """For every input channel its largest weight, relative to the largest of the output that it goes into.

    None for a depthwise convolution, which does not mind.
    """
    import numpy as np

    if is_depthwise(node, weight.shape):
        return None
    grouped = np.abs(_by_input(node, weight))
    largest = grouped.max(axis=(2, 3), keepdims=True)
    relative = grouped / np.where(largest > 0, largest, 1)
    columns: Array = np.maximum(relative.max(axis=(1, 3)).reshape(-1), _UNUSED)
    return columns


def _by_input(node: onnx.NodeProto, weight: Array) -> Array:
    """A view of the weight as [groups, outputs, inputs, rest]: groups and inputs together count input channels."""
    if node.op_type == "Gemm":
        turned = weight if attribute(node, "transB", 0) else weight.T
        return turned[None, :, :, None]
    groups = attribute(node, "group", 1)
    return weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)


def _read(node: onnx.NodeProto, weight: Array, factor: Array) -> Array:
    """The weight of a reader, multiplied channel by channel."""
    if node.op_type == "Gemm":
        return weight * (factor if attribute(node, "transB", 0) else factor[:, None])
    grouped = _by_input(node, weight)
    scaled: Array = grouped * factor.reshape(grouped.shape[0], 1, grouped.shape[2], 1)
    return scaled.reshape(weight.shape)


def _written(node: onnx.NodeProto, weight: Array, factor: Array) -> Array:
    """The weight of a writer, divided channel by channel."""
    axis = 0 if node.op_type == "Conv" or attribute(node, "transB", 0) else 1
    shape = [1] * weight.ndim
    shape[axis] = -1
    divided: Array = weight / factor.reshape(shape)
    return divided
