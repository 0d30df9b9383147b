"""What cannot be lowered for the DLA, by name, and what to do instead."""

from __future__ import annotations

from collections.abc import Sequence

from edgetool.errors import ModelError

_SHOWN = 10


def scale_missing(tensors: Sequence[str], *, where: str) -> ModelError:
    """The refusal of tensors between quantized ones that have no scale."""
    return ModelError(
        "dla-scale-missing",
        f"int8 on the DLA needs a scale for every tensor between quantized ones; these have none: {_shown(tensors)}",
        where=where,
        hint="quantize with `quantize-static`, which records ranges of what follows convolutions; leave the nodes "
        "around these tensors float (its option `exclude`), or use a float16 recipe",
    )


def quantization_unfit(nodes: Sequence[str], *, where: str) -> ModelError:
    """The refusal of Q/DQ nodes that one symmetric int8 scale a tensor cannot stand for."""
    return ModelError(
        "dla-quantization-unfit",
        f"the DLA takes one symmetric int8 scale a tensor, and these nodes quantize otherwise: {_shown(nodes)}",
        where=where,
        hint="quantize with `quantize-static`, which writes symmetric int8, or use a float16 recipe",
    )


def _shown(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:_SHOWN]))
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
