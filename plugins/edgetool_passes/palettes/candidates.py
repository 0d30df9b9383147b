"""Which weights get palettes: stored floats that weighted operators read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir

WEIGHTED = frozenset({"MatMul", "Gemm", "Conv", "ConvTranspose", "Gather", "LSTM", "GRU", "RNN"})
FED = "its weight is an input of the model"
INSIDE = "its weight is inside control flow"
_FLOATS = ("FLOAT", "FLOAT16")


@dataclass(frozen=True, eq=False)
class Candidates:
    """The decision for one model.

    Attributes:
        chosen: weights, in the order in which they are read.
        excluded: label of a node -> reason, where a weight of it stays as it is.
        quantized: labels of nodes whose weight is stored as integers already.
    """

    chosen: tuple[ir.Value, ...]
    excluded: Mapping[str, str]
    quantized: tuple[str, ...]


def find_candidates(model: ir.Model, *, min_size: int, exclude: Sequence[str]) -> Candidates:
    """Decide for every weight of the main graph; those inside control flow stay as they are."""
    chosen: dict[ir.Value, None] = {}
    left: set[ir.Value] = set()
    excluded: dict[str, str] = {}
    quantized: dict[str, None] = {}
    for label, value in _reads(model.graph):
        if _dequantizes(value):
            quantized[label] = None
        elif _is_weight(value):
            reason = _reason_against(value, label, min_size=min_size, exclude=exclude)
            if reason is None:
                chosen[value] = None
            else:
                left.add(value)
                excluded.setdefault(label, reason)
    for inner in model.graph.subgraphs():
        for label, value in _reads(inner):
            if _is_weight(value) and value.graph is not model.graph and _size(value) >= min_size:
                excluded.setdefault(label, INSIDE)
    return Candidates(tuple(value for value in chosen if value not in left), excluded, tuple(quantized))


def _reads(graph: ir.Graph) -> Iterator[tuple[str, ir.Value]]:
    """What the weighted nodes of a graph read, with their labels."""
    for number, node in enumerate(graph):
        if node.op_type in WEIGHTED and node.domain in ("", "ai.onnx"):
            for value in filter(None, node.inputs):
                yield node.name or f"{node.op_type}#{number}", value


def _is_weight(value: ir.Value) -> bool:
    tensor = value.const_value
    if tensor is None or not value.is_initializer():
        return False
    return tensor.dtype.name in _FLOATS and len(tensor.shape) > 1  # one dimension is a bias


def _reason_against(value: ir.Value, label: str, *, min_size: int, exclude: Sequence[str]) -> str | None:
    names = (label, value.name or "")
    if any(fnmatchcase(name, pattern) for pattern in exclude for name in names):
        return "excluded by the recipe"
    if value.is_graph_input():
        return FED
    if value.is_graph_output():
        return "its weight is an output of the model"
    if (size := _size(value)) < min_size:
        return f"its weight has {size} values, fewer than min_size = {min_size}"
    return None


def _size(value: ir.Value) -> int:
    return math.prod(value.const_value.shape.numpy()) if value.const_value is not None else 0


def _dequantizes(value: ir.Value) -> bool:
    producer = value.producer()
    if producer is None or producer.op_type != "DequantizeLinear":
        return False
    stored = producer.inputs[0]
    return stored is not None and stored.is_initializer()
