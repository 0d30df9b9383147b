"""Whether the weights of a model can get palettes at all, before any is looked at."""

from __future__ import annotations

from edgetool.problem import Problem
from edgetool_passes.palettes.candidates import FED, INSIDE, WEIGHTED, Candidates

_FIXES = {
    FED: "Export with the weights stored, not as inputs.",
    INSIDE: "If its condition is known, let `specialize` and `simplify` remove the control flow first.",
}


def verdict(candidates: Candidates) -> tuple[Problem, ...]:
    """A refusal where nothing is to be done, and warnings about weights that are out of reach."""
    if not candidates.chosen:
        return (_nothing(candidates),)
    found = [
        Problem(f"these nodes keep their weights: {reason}", labels, fix, severity="warn")
        for reason, fix in _FIXES.items()
        if (labels := tuple(label for label, given in candidates.excluded.items() if given == reason))
    ]
    if candidates.quantized:
        why = "these nodes keep their weights: they are stored as integers, which an archive codes as well"
        found.append(Problem(why, candidates.quantized, severity="warn"))
    return tuple(found)


def _nothing(candidates: Candidates) -> Problem:
    if candidates.quantized:
        return Problem(
            "nothing to cluster: the weights are stored as integers, which an archive codes as well",
            candidates.quantized,
            "take this pass out of the recipe, or put it in the place of the quantization",
        )
    if not candidates.excluded:
        return Problem(
            f"nothing to cluster: no stored float weight is read by {', '.join(sorted(WEIGHTED))}",
            fix="put `simplify` first, which folds weights that are computed, or take this pass out of the recipe",
        )
    reason = next(iter(candidates.excluded.values()))
    fix = _FIXES.get(reason, "change the options of the pass, or take it out of the recipe")
    blamed = tuple(candidates.excluded)
    return Problem(f"nothing to cluster: every weighted node stays as it is, the first because {reason}", blamed, fix)
