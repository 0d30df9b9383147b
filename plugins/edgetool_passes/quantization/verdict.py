"""Whether a model can be quantized at all, before any data is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgetool.graph.walk import graphs, node_label
from edgetool.problem import Problem
from edgetool_passes.quantization.placement import place, quantized_nodes
from edgetool_passes.quantization.rules import WEIGHTED, Rules

if TYPE_CHECKING:
    import onnx


def verdict(model: onnx.ModelProto, rules: Rules) -> tuple[Problem, ...]:
    """Refusals (already quantized, nothing to quantize) and warnings (weights out of reach)."""
    if done := quantized_nodes(model.graph):
        return (
            Problem(
                "the model is quantized already",
                done,
                "start from the float model, or take this pass out of the recipe",
            ),
        )
    placement = place(model, rules)
    if not placement.sites:
        return (_nothing(placement.excluded, _inside_control_flow(model.graph)),)
    found = [
        Problem(f"these nodes stay float: {reason}", labels, fix, severity="warn")
        for reason, fix in _FIXES.items()
        if (labels := tuple(label for label, given in placement.excluded.items() if given == reason))
    ]
    if inner := _inside_control_flow(model.graph):
        found.append(Problem("nodes inside control flow stay float", inner, _UNROLL, severity="warn"))
    return tuple(found)


_FIXES = {
    "its weight is an input of the model": "Export with the weights stored, not as inputs.",
    "its weight is computed while the model runs": "Put `simplify` first: it folds what does not depend on the input.",
}


_UNROLL = "If its condition is known, let `specialize` and `simplify` remove the control flow first."


def _nothing(reasons: Mapping[str, str], inner: tuple[str, ...]) -> Problem:
    if not reasons and inner:
        return Problem("nothing to quantize: all weighted nodes are inside control flow", inner, _UNROLL)
    if not reasons:
        return Problem(
            f"nothing to quantize: the model has no {', '.join(WEIGHTED[:-1])} or {WEIGHTED[-1]} node",
            fix="take this pass out of the recipe",
        )
    first = next(iter(reasons.values()))
    return Problem(
        f"nothing to quantize: every weighted node stays float, the first because {first}",
        tuple(reasons),
        _FIXES.get(first, "Change the options of the pass, or take it out of the recipe."),
    )


def _inside_control_flow(graph: onnx.GraphProto) -> tuple[str, ...]:
    return tuple(
        node_label(node, number)
        for inner in list(graphs(graph))[1:]
        for number, node in enumerate(inner.node)
        if node.op_type in WEIGHTED
    )
