"""What was quantized, as facts for the manifest."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from edgetool.artifact import JsonValue

if TYPE_CHECKING:
    from edgetool_passes.quantization.placement import Placement


def counts(placement: Placement) -> dict[str, JsonValue]:
    """How many nodes were quantized, by operator, and why others were not."""
    by_type = Counter(str(site.node.op_type) for site in placement.sites)
    return {
        "quantized": len(placement.sites),
        "quantized_by_type": dict(sorted(by_type.items())),
        "activations_in_16_bits": sum(reading.bits == 16 for reading in placement.readings()),
        "residual_adds": len(placement.residuals),
        "pools": len(placement.pools),
        "excluded": dict(placement.excluded),
    }
