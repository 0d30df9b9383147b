"""What an engine executes, from the JSON of `--exportLayerInfo`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from edgetool.backends.base import NodeEvidence
from edgetool.errors import DeviceError

_TYPES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), name)
    for pattern, name in (
        (r"\b(?:FP4|E2M1)", "float4_e2m1fn"),
        (r"\b(?:FP8|Float8|E4M3)", "float8_e4m3fn"),
        (r"\b(?:BF16|BFloat16)", "bfloat16"),
        (r"\b(?:FP16|Half)", "float16"),
        (r"\bU?Int8", "int8"),
        (r"\bInt4", "int4"),
        (r"\bInt32", "int32"),
        (r"\bInt64", "int64"),
        (r"\bBool", "bool"),
        (r"\b(?:FP32|Float)\b", "float32"),
    )
)
"""In the order that they are looked for: `Float8` is no `Float`."""


def read_layers(text: str) -> tuple[NodeEvidence, ...]:
    """One row for each layer of an engine, with the type that it reads.

    TensorRT 8 and 10 say format and type of a tensor in one text (`Format/Datatype`); TensorRT 11 splits them. Without
    detailed profiling there are only names. A dynamic engine that was not run tells no types but those of weights.

    Raises:
        DeviceError: `bad-trtexec-output`: not such a description.
    """
    try:
        return tuple(_evidence(layer) for layer in json.loads(text)["Layers"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DeviceError(
            "bad-trtexec-output",
            "the layer description that trtexec wrote is unreadable",
            hint="look at the log: it ended early, or the disk of the device is full",
        ) from error


def _evidence(layer: str | Mapping[str, Any]) -> NodeEvidence:
    if isinstance(layer, str):
        return NodeEvidence(layer, "unknown", "unknown", "GPU")
    kind = str(layer.get("LayerType", "unknown"))
    return NodeEvidence(str(layer["Name"]), kind, _precision(layer), "DLA" if "DLA" in kind.upper() else "GPU")


def _precision(layer: Mapping[str, Any]) -> str:
    """Of the first tensor that it reads, else that it writes, else of its weights."""
    tensors = [*layer.get("Inputs", ()), *layer.get("Outputs", ())]
    texts = [str(one.get("DataType") or one.get("Format/Datatype") or "") for one in tensors]
    weights = layer.get("Weights")
    if isinstance(weights, Mapping):
        texts.append(str(weights.get("Type", "")))
    return next((name for text in texts for pattern, name in _TYPES if pattern.search(text)), "unknown")
