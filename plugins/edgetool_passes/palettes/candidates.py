"""Which weights get palettes: stored floats that weighted operators read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir

WEIGHTED = frozenset({"MatMul", "Gemm", "Conv", "ConvTranspose", "Gather", "LSTM", "GRU", "RNN"})
FED = "it is an input of the model"
INSIDE = "it is inside control flow"
_FLOATS = ("FLOAT", "FLOAT16")


@dataclass(frozen=True, eq=False)
class Candidates:
    """The decision for one model.

    Attributes:
        chosen: in the order in which they are read.
        excluded: name of the weight -> reason, for those that stay as they are.
        quantized: labels of nodes whose weight is stored as integers already.
    """

    chosen: tuple[ir.Value, ...]
    excluded: Mapping[str, str]
    quantized: tuple[str, ...]


def find_candidates(model: ir.Model, *, min_size: int, exclude: Sequence[str]) -> Candidates:
    """Decide for every weight of the main graph; those inside control flow stay as they are."""
    chosen: dict[ir.Value, None] = {}
    excluded: dict[str, str] = {}
    quantized: list[str] = []
    for number, node in enumerate(model.graph):
        if node.op_type not in WEIGHTED or node.domain not in ("", "ai.onnx"):
            continue
        label = node.name or f"{node.op_type}#{number}"
        for value in filter(None, node.inputs):
            if _dequantizes(value):
                quantized.append(label)
            tensor = value.const_value
            if tensor is None or not value.is_initializer() or tensor.dtype.name not in _FLOATS:
                continue
            if len(tensor.shape) < 2:  # biases
                continue
            reason = _reason_against(value, label, min_size=min_size, exclude=exclude)
            if reason is None:
                chosen[value] = None
            else:
                excluded[value.name or ""] = reason
    for graph in model.graph.subgraphs():
        excluded |= {name: INSIDE for name, value in graph.initializers.items() if _size(value) >= min_size}
    kept = tuple(value for value in chosen if value.name not in excluded)
    return Candidates(kept, excluded, tuple(dict.fromkeys(quantized)))


def _reason_against(value: ir.Value, label: str, *, min_size: int, exclude: Sequence[str]) -> str | None:
    names = (label, value.name or "")
    if any(fnmatchcase(name, pattern) for pattern in exclude for name in names):
        return "excluded by the recipe"
    if value.is_graph_input():
        return FED
    if value.is_graph_output():
        return "it is an output of the model"
    if (size := _size(value)) < min_size:
        return f"it has {size} values, fewer than min_size = {min_size}"
    return None


def _size(value: ir.Value) -> int:
    return math.prod(value.const_value.shape.numpy()) if value.const_value is not None else 0


def _dequantizes(value: ir.Value) -> bool:
    producer = value.producer()
    if producer is None or producer.op_type != "DequantizeLinear":
        return False
    stored = producer.inputs[0]
    return stored is not None and stored.is_initializer()
