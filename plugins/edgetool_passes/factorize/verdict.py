"""Whether a model has weights to factor, before any is looked at."""

from __future__ import annotations

from collections.abc import Mapping

from edgetool.problem import Problem
from edgetool_passes.factorize.layers import COMPUTED, FED, Layers

_FIXES = {
    FED: "Export with the weights stored, not as inputs.",
    COMPUTED: "Put `simplify` first: it folds what does not depend on the input.",
}


def verdict(layers: Layers) -> tuple[Problem, ...]:
    """A refusal where nothing can be factored; warnings of weights that are out of reach."""
    if layers.chosen:
        return tuple(
            Problem(f"these nodes keep their rank: {reason}", labels, fix, severity="warn")
            for reason, fix in _FIXES.items()
            if (labels := tuple(label for label, given in layers.left.items() if given == reason))
        )
    return (_nothing(layers.left),)


def _nothing(reasons: Mapping[str, str]) -> Problem:
    if not reasons:
        return Problem(
            "nothing to factor: the model has no MatMul, Gemm, Conv or embedding with a weight of its own",
            fix="take this pass out of the recipe",
        )
    first = next(iter(reasons.values()))
    return Problem(
        f"nothing to factor: the first weighted node stays whole because {first}",
        tuple(reasons),
        _FIXES.get(first, "Change the options of the pass, or take it out of the recipe."),
    )
