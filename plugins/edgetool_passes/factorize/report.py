"""What was factored, as facts."""

from __future__ import annotations

from collections.abc import Mapping

from edgetool.artifact import JsonValue
from edgetool_passes.factorize.candidates import Known
from edgetool_passes.factorize.layers import Layers

_WHOLE = "the rank that it needs would not save enough"


def facts_of(known: Mapping[str, Known], ranks: Mapping[str, int], layers: Layers) -> dict[str, JsonValue]:
    """By layer: form, rank, parameters and multiply-accumulates before and after, share of the results that is lost."""
    factored: dict[str, JsonValue] = {}
    left: dict[str, JsonValue] = dict(layers.left)
    for weight, one in known.items():
        candidate, rank = one.candidate, ranks.get(weight)
        if rank is None:
            left[candidate.layer.label] = _WHOLE
            continue
        factored[candidate.layer.label] = {
            "form": candidate.form.name,
            "rank": rank,
            "of": min(candidate.form.sides),
            "parameters": {"from": candidate.parameters.whole, "to": rank * candidate.parameters.rank},
            "macs": {"from": candidate.macs.whole, "to": rank * candidate.macs.rank},
            "error": round(float(candidate.spectrum.losses[rank]), 6),
        }
    return {"factored": factored, "left": left}
