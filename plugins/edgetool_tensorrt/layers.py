"""How TensorRT executes an engine, read from the layer information that its builder left beside the engine.

The engine inspector and trtexec's `--exportLayerInfo` write the same JSON. Its keys differ between majors: up to 10 a
tensor has `Format/Datatype`, from 11 on the two are apart; spelling and case are taken as they come.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from edgetool.artifact import Engine
from edgetool.backends import Evidence
from edgetool.backends.base import NodeEvidence

LAYERS = "layers.json"
"""The file beside the engine; none for TensorRT-RTX, whose layers are made on the device."""

_NOT_COMPUTED = frozenset({"constant", "noop", "reformat", "shuffle", "signal", "wait"})
_DATATYPE_KEYS = ("format/datatype", "datatype", "data type", "type")
_PRECISIONS = (  # searched for in this order: a format's description ends with the type, "… Int8 format"
    (re.compile(r"\b(u?int8)\b"), "int8"),
    (re.compile(r"\bint4\b"), "int4"),
    (re.compile(r"\bfp4\b|float4"), "float4_e2m1fn"),
    (re.compile(r"\bfp8\b|float8"), "float8_e4m3fn"),
    (re.compile(r"\bbf16\b|bfloat16"), "bfloat16"),
    (re.compile(r"\bfp16\b|\bhalf\b|\bfloat16\b"), "float16"),
    (re.compile(r"\bfp32\b|\bfloat(32)?\b"), "float32"),
    (re.compile(r"\bint64\b"), "int64"),
    (re.compile(r"\bint32\b"), "int32"),
    (re.compile(r"\bbool\b"), "bool"),
)
_NARROW = frozenset({"int8", "int4", "float8_e4m3fn", "float4_e2m1fn"})
_UNKNOWN = "unknown"


def read_evidence(engine: Engine) -> Evidence:
    """One row for each kernel; empty where the builder left no layer information, or only names."""
    path = engine.directory / LAYERS
    if not path.is_file():
        return Evidence()
    return Evidence(parse_layers(path.read_text(encoding="utf-8", errors="replace")))


def parse_layers(text: str) -> tuple[NodeEvidence, ...]:
    """The kernels in an inspector's JSON, without constants and what only moves data; none when it is no such JSON."""
    try:
        document = json.loads(text)
    except ValueError:
        return ()
    layers = document.get("Layers", []) if isinstance(document, dict) else document
    if not isinstance(layers, list):
        return ()
    return tuple(_row(layer) for layer in layers if isinstance(layer, dict) and _computes(layer))


def _computes(layer: Mapping[str, Any]) -> bool:
    return str(layer.get("LayerType", "")).lower() not in _NOT_COMPUTED


def _row(layer: Mapping[str, Any]) -> NodeEvidence:
    kind = str(layer.get("LayerType", _UNKNOWN))
    return NodeEvidence(
        name=str(layer.get("Name", "")),
        op_type=kind,
        precision=_precision(layer),
        device="DLA" if "dla" in kind.lower() else "GPU",
    )


def _precision(layer: Mapping[str, Any]) -> str:
    """What it computes in: the narrow type of an input, since results are often wider; else that of its result.

    The tensors of a dynamic engine have no types until it runs; those of the weights then have to do.
    """
    given = list(_types(layer.get("Inputs")))
    narrow = [name for name in given if name in _NARROW]
    return next(iter([*narrow, *_types(layer.get("Outputs")), *given, *_types([layer.get("Weights")])]), _UNKNOWN)


def _types(tensors: object) -> Iterator[str]:
    for tensor in tensors if isinstance(tensors, list) else []:
        if isinstance(tensor, dict):
            lowered = {str(key).lower(): str(value).lower() for key, value in tensor.items()}
            said = next((lowered[key] for key in _DATATYPE_KEYS if key in lowered), "")
            found = next((name for pattern, name in _PRECISIONS if pattern.search(said)), None)
            if found:
                yield found
