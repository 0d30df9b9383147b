"""What was done, as facts for the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgetool.artifact import JsonValue
from edgetool_passes.palettes.work import Done


def facts_of(done: Sequence[Done], excluded: Mapping[str, str]) -> dict[str, JsonValue]:
    """How many weights have palettes, how large their coded indices are, and what it cost.

    `coded_bytes` is what an ideal code takes, palettes included; an archive takes about 2 % more.
    """
    worst = max(done, key=lambda one: one.error)
    values = sum(one.values for one in done)
    bits = sum(one.bits * (one.values - one.zeros) for one in done)
    return {
        "clustered": len(done),
        "compensated": sum(one.compensated for one in done),
        "values": values,
        "zeros": sum(one.zeros for one in done),
        "most_different": max(one.different for one in done),
        "bits": _rounded(bits / values),
        "coded_bytes": round(bits / 8) + 4 * sum(one.different for one in done),
        "mean_error": _rounded(sum(one.error for one in done) / len(done)),
        "worst_error": {"weight": worst.name, "error": _rounded(worst.error)},
        "excluded": dict(excluded),
    }


def _rounded(share: float) -> float:
    return float(f"{share:.4g}")
