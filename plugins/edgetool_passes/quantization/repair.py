"""Brings quantized networks of other tools into the form that every runtime takes: symmetric int8, float biases.

The order matters: names and defaults are spelled out first, so that the later steps see one way of writing only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

from edgetool_passes.quantization.repair_activations import center_activations
from edgetool_passes.quantization.repair_channels import center_channels
from edgetool_passes.quantization.repair_constants import center_weights, fold_floats, store_quantized
from edgetool_passes.quantization.repair_spelling import spell_out

if TYPE_CHECKING:
    import onnx

Saturation = Literal["zero", "both"]


@dataclass(frozen=True, slots=True)
class Repairs:
    """What was repaired, by the tensors concerned.

    Attributes:
        biases: dequantized int32, now float.
        scalars: single dequantized numbers, now float.
        weights_exact: integers that were shifted and mean the same.
        weights_rounded: integers that were rounded anew, to wider steps.
        activations_exact: zero points that were shifted and mean the same.
        activations_widened: tensor -> how many times wider its steps are; the widest of its channels.
        rectified: tensors that are now clipped by a node, where the range of the integers did it before.
        adopted: names of Q/DQ nodes of another domain that are ONNX's own now.
    """

    biases: tuple[str, ...]
    scalars: tuple[str, ...]
    weights_exact: tuple[str, ...]
    weights_rounded: tuple[str, ...]
    activations_exact: tuple[str, ...]
    activations_widened: Mapping[str, float]
    rectified: tuple[str, ...]
    adopted: tuple[str, ...]

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))


def repair(graph: onnx.GraphProto, *, saturation: Saturation) -> Repairs:
    """Rewrite what can be; a graph that has nothing to repair is left as it is.

    Args:
        graph: edited in place; its weights are loaded. Subgraphs are not looked into.
        saturation: whether only clipping at zero is kept when a range is widened, or clipping at both ends.
    """
    adopted = spell_out(graph)
    store_quantized(graph)
    floats = fold_floats(graph)
    weights = center_weights(graph)
    activations = center_activations(graph, both_ends=saturation == "both")
    channels = center_channels(graph, both_ends=saturation == "both")
    return Repairs(
        biases=floats.biases,
        scalars=floats.scalars,
        weights_exact=weights.exact,
        weights_rounded=weights.rounded,
        activations_exact=(*activations.exact, *channels.exact),
        activations_widened={**activations.widened, **channels.widened},
        rectified=(*activations.rectified, *channels.rectified),
        adopted=adopted,
    )
