"""What was done, as facts for the manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from edgetool.artifact import JsonValue
from edgetool_passes.weight_only.sites import Sites
from edgetool_passes.weight_only.work import Done


def facts_of(done: Sequence[Done], sites: Sites) -> dict[str, JsonValue]:
    """How many weights were quantized by which method and to how many bits, their bytes, and what it cost.

    An error is the root mean square of what rounding changed, as a share of the weight's own.
    """
    worst = max(done, key=lambda one: one.loss.relative)
    return {
        "quantized": len(done),
        "by_method": _counts(str(one.method) for one in done),
        "by_bits": _counts(str(one.weight.grain.bits) for one in done),
        "by_block": _counts(str(one.weight.grain.block or "channel") for one in done),
        "bytes_before": sum(one.bytes_before for one in done),
        "bytes_after": sum(one.bytes_after for one in done),
        "mean_error": _rounded(sum(one.loss.relative for one in done) / len(done)),
        "worst_error": {"node": worst.weight.label, "error": _rounded(worst.loss.relative)},
        "excluded": dict(sites.excluded),
    }


def _counts(keys: Iterable[str]) -> dict[str, JsonValue]:
    return dict(sorted(Counter(keys).items()))


def _rounded(share: float) -> float:
    return float(f"{share:.4g}")
