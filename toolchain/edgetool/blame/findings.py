"""What blame finds out, as values: one row a layer, ranked, each with what would help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from edgetool.artifact import JsonValue
from edgetool.blame.clusters import Cluster
from edgetool.blame.histogram import Histogram
from edgetool.validate.difference import rounded

Cause: TypeAlias = Literal["weights", "activations", "both", "inherited", "none", "export"]

INAUDIBLE = 60.0
"""dB: what a layer adds below this is arithmetic in another order."""

_OUTLIERS = 20.0
"""Largest value over rms, beyond which a few values set the range for all."""


@dataclass(frozen=True, slots=True)
class LayerError:
    """How much of a layer's signal is left over its error, in dB; infinite where nothing differs.

    Attributes:
        alone: the layer computes on the original's inputs: what it adds itself.
        weights_only: the same without quantizing its activations; None where it has no quantizers.
        cumulative: at this place of the compressed network, with all errors before it.
        output: at the network's outputs when only this layer is compressed; None where that was not measured.
        cosine: at this place of the compressed network.
    """

    alone: float
    weights_only: float | None
    cumulative: float
    output: float | None
    cosine: float


@dataclass(frozen=True, slots=True)
class LayerBlame:
    """One layer.

    Attributes:
        layer: name of its node.
        tensor: what it computes, by the name that both networks use.
        cause: what its own error comes from.
        fix: what would help, as an option of a recipe where there is one.
        weights: of the original's weight, for the worst layers.
        activations: of the original's output, for the worst layers.
    """

    layer: str
    op_type: str
    tensor: str
    error: LayerError
    cause: Cause
    fix: str
    weights: Histogram | None = None
    activations: Histogram | None = None

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "layer": self.layer,
            "op_type": self.op_type,
            "tensor": self.tensor,
            "alone_db": rounded(self.error.alone),
            "weights_only_db": rounded(self.error.weights_only),
            "cumulative_db": rounded(self.error.cumulative),
            "output_db": rounded(self.error.output),
            "cosine": rounded(self.error.cosine),
            "cause": self.cause,
            "fix": self.fix,
            "weights": self.weights.to_json() if self.weights else None,
            "activations": self.activations.to_json() if self.activations else None,
        }


@dataclass(frozen=True, slots=True)
class Blame:
    """All layers, the worst first.

    Attributes:
        layers: ranked by their effect on the outputs where it was measured, else by what they add themselves.
        samples: how many samples it was found on.
        outputs_db: signal over error at the network's outputs, all layers compressed.
        unmatched: shares no tensor with the original, so nothing could be said about it.
    """

    layers: tuple[LayerBlame, ...]
    samples: int
    outputs_db: float
    unmatched: int

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "samples": self.samples,
            "outputs_db": rounded(self.outputs_db),
            "unmatched": self.unmatched,
            "layers": [row.to_json() for row in self.layers],
        }


def cause_of(error: LayerError, *, marked: bool) -> Cause:
    """What a layer's own error comes from: the part without activation quantizers tells the weights' share."""
    if error.alone >= INAUDIBLE:
        return "inherited" if error.cumulative < INAUDIBLE else "none"
    if error.weights_only is None or not marked:
        return "both"
    # Noise powers add: 3 dB less noise without activation quantizers means that they make half of it.
    gained = error.weights_only - error.alone
    if gained > 6:
        return "activations"
    return "weights" if gained < 1 else "both"


def kept_float(*layers: str) -> str:
    """What always helps: to leave layers as they are."""
    listed = ", ".join(f'"{name}"' for name in layers)
    return f"exclude = [{listed}] keeps {'it' if len(layers) == 1 else 'them'} float"


def fix_for(cause: Cause, layer: Cluster, *, activations: Histogram | None) -> str:
    """One sentence; options are those of `quantize-static`."""
    exclude = kept_float(layer.label)
    match cause:
        case "none":
            return "nothing to do"
        case "inherited":
            return "its error comes from layers before it: look at those first"
        case "activations" if activations is not None and activations.outliers > _OUTLIERS:
            if layer.op_type in ("MatMul", "Gemm"):
                return f"outliers of its input set the range: raise `smoothing`, or {exclude}"
            return f'outliers set the range: calibrator = "percentile" or "mse", or {exclude}'
        case "activations":
            return f"eight bits are few for its input: more calibration samples, or {exclude}"
        case "weights" if layer.weighted and not layer.per_channel:
            return f"one scale serves all channels of its weight: per_channel = true, or {exclude}"
        case _:
            return exclude
