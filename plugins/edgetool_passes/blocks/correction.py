"""What stands in for removed blocks: the factors, or the matrix, that fit the samples best.

After "ReplaceMe: Network Simplification via Depth Pruning and Transformer Block Linearization" (D. Shopkhoev et al.,
2025): depth is taken out, and a linear map estimated from few samples takes its place, without training. Here it maps
what arrives in the shortened network to what the whole network had at the gap's end, so that each correction also makes
up for the imperfection of those before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from edgetool.artifact import JsonValue
from edgetool_passes.blocks.removal import Correction, Gap, bridge
from edgetool_passes.quantization.calibration import Calibration
from edgetool_passes.regression import Fit, Regression
from edgetool_passes.side_by_side import side_by_side
from edgetool_passes.together import together
from edgetool_passes.vectors import vectors

if TYPE_CHECKING:
    import numpy as np
    import onnx

    Array = np.ndarray[Any, Any]

Kind: TypeAlias = Literal["linear", "scale"]

_SHORT = "shortened/"


@dataclass(frozen=True, eq=False)
class Bridged:
    """What became of a gap.

    Attributes:
        gap: it.
        fit: of its correction; None without one.
        folded: whether the correction vanished in a normalisation.
    """

    gap: Gap
    fit: Fit | None = None
    folded: bool = False

    def to_json(self) -> dict[str, JsonValue]:
        blocks: list[JsonValue] = list(self.gap.blocks)
        if self.fit is None:
            return {"blocks": blocks, "correction": "none"}
        return {
            "blocks": blocks,
            "correction": "scale" if self.fit.matrix.ndim == 1 else "linear",
            "folded": self.folded,
            "error_before": round(self.fit.error_before, 6),
            "error": round(self.fit.error, 6),
        }


def shorten(
    whole: onnx.ModelProto, gaps: Iterable[Gap], calibration: Calibration | None, kind: Kind | None
) -> tuple[onnx.ModelProto, list[Bridged]]:
    """A copy of the network without the blocks of these gaps.

    Args:
        whole: stays as it is.
        gaps: in the order of the network.
        calibration: samples to fit corrections to; without them there are none.
        kind: of the corrections; None for none.
    """
    import onnx

    shortened, told = onnx.ModelProto(), []
    shortened.CopyFrom(whole)
    for gap in gaps:
        if calibration is None or kind is None:
            bridge(shortened.graph, gap)
            told.append(Bridged(gap))
            continue
        fit = _fit(whole, shortened, gap, calibration, kind)
        told.append(Bridged(gap, fit, bridge(shortened.graph, gap, Correction(fit.matrix, fit.shift))))
    return shortened, told


def _fit(whole: onnx.ModelProto, shortened: onnx.ModelProto, gap: Gap, calibration: Calibration, kind: Kind) -> Fit:
    """Look for the correction of a gap which is still there in both networks."""
    import numpy as np

    computed = any(gap.start in node.output for node in shortened.graph.node)
    start = _SHORT + gap.start if computed else gap.start  # else it is an input, which both share
    regressions: list[Regression] = []

    def see(values: Mapping[str, Array]) -> None:
        x, y = (vectors(values[name], first=gap.channels_first) for name in (start, gap.end))
        if not regressions:
            regressions.append(Regression(x.shape[1], y.shape[1]))
        regressions[0].see(x, y)

    joined = side_by_side(whole, {_SHORT: shortened})
    calibration.run(joined, together((start, gap.end), see), purpose="samples for the correction of a gap")
    (regression,) = regressions
    channels = regression.inputs
    return regression.fit(np.ones(channels) if kind == "scale" else np.eye(channels), diagonal=kind == "scale")
