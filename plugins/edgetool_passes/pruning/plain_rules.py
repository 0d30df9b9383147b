"""How operators that compute channel by channel, or over space, carry channels along."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgetool.qdq.index import attribute
from edgetool_passes.pruning.trace import Axis, Rule, Trace

if TYPE_CHECKING:
    import onnx

_ELEMENTWISE = (
    "Abs", "Acos", "Add", "And", "Asin", "Atan", "Cast", "Ceil", "Celu", "Clip", "Cos", "Div", "Dropout", "Elu",
    "Equal", "Erf", "Exp", "Floor", "Gelu", "Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity",
    "IsInf", "IsNaN", "LeakyRelu", "Less", "LessOrEqual", "Log", "Max", "Mean", "Min", "Mish", "Mod", "Mul", "Neg",
    "Not", "Or", "PRelu", "Pow", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Softplus",
    "Softsign", "Sqrt", "Sub", "Sum", "Swish", "Tan", "Tanh", "ThresholdedRelu", "Where", "Xor",
)  # fmt: skip
_POOLS = ("AveragePool", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "LpPool", "MaxPool")
_REDUCTIONS = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
    "ReduceSum", "ReduceSumSquare",
)  # fmt: skip
_ALONG = ("CumSum", "Hardmax", "LogSoftmax", "Softmax")
_LAST_BY_DEFAULT = 13
"""The opset in which Softmax came to work along one axis, by default the last."""


def _elementwise(trace: Trace, node: onnx.NodeProto) -> None:
    operands = {name: trace.axes(name) for name in node.input if name}
    if None in operands.values():
        trace.give_up(node, "the rank of an input is unknown")
        return
    ranks = {name: len(axes) for name, axes in operands.items() if axes is not None}
    reason = f"{trace.label(node)} combines them with what has to stay"
    result = tuple(
        trace.meet([(name, -back) for name in node.input if name and back <= ranks[name]], reason)
        for back in range(max(ranks.values()), 0, -1)
    )
    for name in node.output:
        trace.put(name, result)


def _pool(trace: Trace, node: onnx.NodeProto) -> None:
    axes = trace.axes(node.input[0])
    if axes is None or len(axes) < 3:
        trace.give_up(node, "the rank of its input is unknown")
        return
    for axis in axes[2:]:
        trace.pin_axis(axis, f"{trace.label(node)} moves along them")
    trace.put(node.output[0], (axes[0], axes[1], *(None for _ in axes[2:])))
    for name in node.output[1:]:  # indices into the whole tensor
        trace.pin_axis(axes[1], f"{trace.label(node)} hands out indices")
        trace.put(name, (None,) * len(axes))


def _reduction(trace: Trace, node: onnx.NodeProto) -> None:
    axes = trace.axes(node.input[0])
    if axes is None:
        trace.give_up(node, "the rank of its input is unknown")
        return
    given: list[int] | None = next((list(entry.ints) for entry in node.attribute if entry.name == "axes"), None)
    if len(node.input) > 1 and node.input[1]:
        values = trace.index.constant(node.input[1])
        if values is None:
            trace.give_up(node, "its axes are computed while the model runs")
            return
        given = values.tolist()
    if not given:
        given = [] if attribute(node, "noop_with_empty_axes", 0) else list(range(len(axes)))
    reduced = {place % len(axes) for place in given}
    for place in reduced:
        trace.pin_axis(axes[place], f"{trace.label(node)} sums them up")
    keep = attribute(node, "keepdims", 1)
    result: list[Axis] = [
        None if place in reduced else axis for place, axis in enumerate(axes) if keep or place not in reduced
    ]
    trace.put(node.output[0], tuple(result))


def _along_an_axis(trace: Trace, node: onnx.NodeProto) -> None:
    axes = trace.axes(node.input[0])
    if axes is None or node.op_type == "CumSum":
        trace.give_up(node, "it computes along an axis that is not known beforehand")
        return
    if trace.opset >= _LAST_BY_DEFAULT:
        along = {attribute(node, "axis", -1) % len(axes)}
    else:
        along = set(range(attribute(node, "axis", 1) % len(axes), len(axes)))
    for place in along:
        trace.pin_axis(axes[place], f"{trace.label(node)} normalizes over them")
    trace.put(node.output[0], tuple(None if place in along else axis for place, axis in enumerate(axes)))


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    **dict.fromkeys(_POOLS, _pool),
    **dict.fromkeys(_REDUCTIONS, _reduction),
    **dict.fromkeys(_ALONG, _along_an_axis),
}
