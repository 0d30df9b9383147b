"""Whether channels can be removed from a model at all, before any data is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgetool.problem import Problem
from edgetool_passes.pruning.groups import Dependencies
from edgetool_passes.quantization.placement import quantized_nodes

if TYPE_CHECKING:
    import onnx


def quantized_already(model: onnx.ModelProto) -> Problem | None:
    """A refusal: the rules know float weights only, and pruning after quantization would undo its calibration."""
    done = quantized_nodes(model.graph)
    if not done:
        return None
    return Problem("the model is quantized already", done, "prune first, quantize after; start from the float model")


def verdict(dependencies: Dependencies) -> tuple[Problem, ...]:
    """A refusal where nothing can go, warnings about layers that stay although an operator could be known."""
    if not dependencies.groups:
        return (_nothing(dependencies),)
    unknown: dict[str, list[str]] = {}
    for label, reason in dependencies.kept.items():
        if "does not know" in reason or "`simplify`" in reason:
            unknown.setdefault(reason, []).append(label)
    return tuple(
        Problem(f"these layers keep all their channels: {reason}", tuple(labels), severity="warn")
        for reason, labels in unknown.items()
    )


def _nothing(dependencies: Dependencies) -> Problem:
    if not dependencies.kept:
        return Problem(
            "no channels to remove: the model has no layer with a stored float weight",
            fix="take this pass out of the recipe, or export with the weights stored",
        )
    label, reason = next(iter(dependencies.kept.items()))
    return Problem(
        f"no channels to remove: every layer must keep its own; those of {label} because {reason}",
        tuple(dependencies.kept),
        "change the options of the pass, or take it out of the recipe",
    )
