"""How weighted operators and normalizations connect channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgetool.qdq.index import attribute
from edgetool_passes.pruning.edits import Groups
from edgetool_passes.pruning.layer import Layer
from edgetool_passes.pruning.trace import Axes, Axis, Rule, Trace

if TYPE_CHECKING:
    import onnx


def _convolution(trace: Trace, node: onnx.NodeProto) -> None:
    layer = trace.layer(node)
    if layer is None:
        trace.give_up(node, "its weight is not stored in the model")
        return
    data = trace.axes(node.input[0]) or (None,) * len(layer.shape)
    weight = _axes(trace, layer)
    for axis in data[2:]:
        trace.pin_axis(axis, f"{layer.label} moves along them")
    if layer.groups == 1 and layer.inputs is not None:
        trace.bind(data[1], weight[layer.inputs], f"they are what {layer.label} reads from outside")
    elif node.op_type == "Conv":
        _grouped(trace, layer, data[1], weight[0])
    else:
        trace.pin_axis(data[1], f"{layer.label} is a grouped ConvTranspose")
        trace.pin_axis(weight[1], f"{layer.label} is a grouped ConvTranspose")
    results = weight[layer.outputs] if layer.groups == 1 or node.op_type == "Conv" else None
    _bias(trace, node, 2, results)
    trace.put(node.output[0], (data[0], results, *(None for _ in data[2:])))


def _grouped(trace: Trace, layer: Layer, data: Axis, results: Axis) -> None:
    """A group goes with all its inputs and outputs, or stays; of a depthwise convolution that is one channel."""
    if results is None:
        return
    if data is None:
        trace.pin_axis(results, f"they are made of what {layer.label} reads from outside")
        return
    inputs, outputs = data.reshape(layer.groups, -1), results.reshape(layer.groups, -1)
    for group in range(layer.groups):
        trace.coordinates.tie_together(inputs[group])
        trace.coordinates.tie_together(outputs[group])
    trace.coordinates.tie(inputs[:, 0], outputs[:, 0])
    trace.edits.append(Groups(layer.node, outputs[:, 0]))


def _gemm(trace: Trace, node: onnx.NodeProto) -> None:
    layer = trace.layer(node)
    if layer is None or layer.inputs is None:
        trace.give_up(node, "its weight is not stored in the model, or its input is transposed")
        return
    data = trace.axes(node.input[0]) or (None, None)
    weight = _axes(trace, layer)
    trace.bind(data[1], weight[layer.inputs], f"they are what {layer.label} reads from outside")
    _bias(trace, node, 2, weight[layer.outputs])
    trace.put(node.output[0], (data[0], weight[layer.outputs]))


def _matmul(trace: Trace, node: onnx.NodeProto) -> None:
    left, right = (trace.axes(name) for name in node.input)
    layer = trace.layer(node)
    if left is None or right is None or len(left) < 2 or len(right) < 2:
        trace.give_up(node, "it multiplies vectors, or tensors of unknown rank")
    elif layer is not None:
        trace.bind(left[-1], right[0], f"they are what {layer.label} reads from outside")
        trace.put(node.output[0], (*left[:-1], right[1]))
    else:
        _product(trace, node, left, right)


def _product(trace: Trace, node: onnx.NodeProto, left: Axes, right: Axes) -> None:
    """A product of two activations: the axes in front of the last two are attention heads, if anything."""
    label = trace.label(node)
    trace.bind(left[-1], right[-2], f"{label} sums over them together with others")
    heads = tuple(
        trace.meet(
            [(name, -back) for name, axes in zip(node.input, (left, right), strict=True) if back <= len(axes)],
            f"{label} pairs them with others",
        )
        for back in range(max(len(left), len(right)), 2, -1)
    )
    if trace.keep_heads:
        for axis in heads:
            trace.pin_axis(axis, "attention heads are kept")
    trace.put(node.output[0], (*heads, left[-2], right[-1]))


def _embedding_or_pick(trace: Trace, node: onnx.NodeProto) -> None:
    from edgetool_passes.pruning.shape_rules import pick

    layer = trace.layer(node)
    indices = trace.axes(node.input[1])
    if layer is None or indices is None:
        pick(trace, node)
        return
    weight = _axes(trace, layer)
    trace.pin_axis(weight[0], f"{layer.label} looks them up")
    trace.put(node.output[0], (*indices, weight[1]))


def _batch_norm(trace: Trace, node: onnx.NodeProto) -> None:
    data = trace.axes(node.input[0])
    if data is None or len(data) < 2 or attribute(node, "training_mode", 0):
        trace.give_up(node, "it is not an inference-time normalization of channels")
        return
    for name in node.input[1:]:
        _bind_vector(trace, name, data[1], f"{trace.label(node)} has parameters that are not stored")
    trace.norms.append(node.input[1])
    trace.put(node.output[0], data)


def _instance_norm(trace: Trace, node: onnx.NodeProto) -> None:
    data = trace.axes(node.input[0])
    if data is None:
        trace.give_up(node, "its rank is unknown")
        return
    for name in node.input[1:]:
        _bind_vector(trace, name, data[1], f"{trace.label(node)} has parameters that are not stored")
    trace.put(node.output[0], data)


def _layer_norm(trace: Trace, node: onnx.NodeProto) -> None:
    """The statistics are taken over the channels: without some of them, all others would change."""
    data = trace.axes(node.input[0])
    if data is None:
        trace.give_up(node, "its rank is unknown")
        return
    first = attribute(node, "axis", -1) % len(data)
    for axis in data[first:]:
        trace.pin_axis(axis, f"{trace.label(node)} normalizes over them")
    for name in filter(None, node.input[1:]):
        trace.pin(name, f"{trace.label(node)} normalizes over them")
    trace.put(node.output[0], (*data[:first], *(None for _ in data[first:])))
    for name in filter(None, node.output[1:]):
        trace.put(name, None)


def _axes(trace: Trace, layer: Layer) -> Axes:
    axes = trace.axes(layer.weight)
    assert axes is not None, "the weight of a layer is stored, so its axes are known"
    return axes


def _bias(trace: Trace, node: onnx.NodeProto, place: int, results: Axis) -> None:
    if len(node.input) > place and node.input[place]:
        _bind_vector(trace, node.input[place], results, f"the bias of {trace.label(node)} is not stored")


def _bind_vector(trace: Trace, name: str, axis: Axis, reason: str) -> None:
    """Tie the last axis of a small constant, unless it is one number for all channels."""
    axes = trace.axes(name)
    if axes is None:
        trace.pin_axis(axis, reason)
    elif axes and (trace.size(name, -1) != 1 or (axis is not None and len(axis) == 1)):
        trace.bind(axes[-1], axis, reason)


RULES: Mapping[str, Rule] = {
    "BatchNormalization": _batch_norm,
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "Gather": _embedding_or_pick,
    "Gemm": _gemm,
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "MatMul": _matmul,
    "RMSNormalization": _layer_norm,
}
