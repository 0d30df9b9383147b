"""Whether the weights of a model can be quantized at all, before any is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgetool.problem import Problem
from edgetool_passes.weight_only.grain import BLOCKS_OPSET, OPERATORS
from edgetool_passes.weight_only.preparation import Prepared
from edgetool_passes.weight_only.sites import COMPUTED, FED

if TYPE_CHECKING:
    import onnx_ir as ir

_ACTIVATIONS = frozenset({"QuantizeLinear", "DynamicQuantizeLinear"})
_FIXES = {
    FED: "Export with the weights stored, not as inputs.",
    COMPUTED: "Put `simplify` first: it folds what does not depend on the input.",
}
_UNROLL = "If its condition is known, let `specialize` and `simplify` remove the control flow first."


def verdict(prepared: Prepared, *, max_opset: int | None) -> tuple[Problem, ...]:
    """Refusals (quantized activations, nothing to quantize, an opset too old) and warnings (weights out of reach).

    Args:
        prepared: the model in the opset that it came in.
        max_opset: the newest that the target reads; None when nobody said.
    """
    graph, sites = prepared.model.graph, prepared.sites
    if done := _labels(graph, _ACTIVATIONS):
        why = "its activations are quantized, and its weights belong to them"
        return (Problem(why, done, "start from the float model, or take this pass out of the recipe"),)
    inner = _inside_control_flow(graph)
    if not sites.chosen:
        return (_nothing(sites.excluded, inner),)
    if max_opset is not None and max_opset < sites.opset:
        return (_too_old(prepared, max_opset),)
    found = [
        Problem(f"these nodes stay float: {reason}", labels, fix, severity="warn")
        for reason, fix in _FIXES.items()
        if (labels := tuple(label for label, given in sites.excluded.items() if given == reason))
    ]
    if inner:
        found.append(Problem("nodes inside control flow stay float", inner, _UNROLL, severity="warn"))
    return tuple(found)


def _too_old(prepared: Prepared, max_opset: int) -> Problem:
    needed = prepared.sites.opset
    blamed = tuple(site.label for site in prepared.sites.chosen if site.grain.opset > max_opset)
    if needed == BLOCKS_OPSET:
        return Problem(
            f"4-bit weights take opset {needed}, and the target reads none newer than {max_opset}",
            blamed,
            "set bits = 8 (and embedding_bits = 8), or `max_opset` in the target's facts if its runtime is newer",
        )
    return Problem(
        f"these weights take opset {needed}, and the target reads none newer than {max_opset}",
        blamed,
        "take this pass out of the recipe, or set `max_opset` in the target's facts if its runtime is newer",
    )


def _nothing(reasons: Mapping[str, str], inner: tuple[str, ...]) -> Problem:
    if not reasons and inner:
        return Problem("nothing to quantize: all weighted nodes are inside control flow", inner, _UNROLL)
    if not reasons:
        return Problem(
            f"nothing to quantize: the model has no {', '.join(OPERATORS[:-1])}, {OPERATORS[-1]} or embedding",
            fix="take this pass out of the recipe",
        )
    first = next(iter(reasons.values()))
    return Problem(
        f"nothing to quantize: every weighted node stays float, the first because {first}",
        tuple(reasons),
        _FIXES.get(first, "Change the options of the pass, or take it out of the recipe."),
    )


def _labels(graph: ir.Graph, operators: frozenset[str]) -> tuple[str, ...]:
    return tuple(
        node.name or f"{node.op_type}#{number}" for number, node in enumerate(graph) if node.op_type in operators
    )


def _inside_control_flow(graph: ir.Graph) -> tuple[str, ...]:
    return tuple(label for inner in graph.subgraphs() for label in _labels(inner, frozenset(OPERATORS)))
