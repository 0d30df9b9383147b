"""What a network stores and computes: the numbers that a compressing pass reports before and after."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgetool.artifact import JsonValue
from edgetool.graph.shapes import Shape

if TYPE_CHECKING:
    import onnx

_FLOATS = frozenset({1, 10, 11, 16})  # float32, float16, float64, bfloat16


@dataclass(frozen=True, slots=True)
class Amount:
    """Of one network.

    Attributes:
        parameters: stored floats of the main graph.
        macs: multiply-accumulates of one inference; a lower bound where a node cannot be counted.
    """

    parameters: int
    macs: int


def amount_of(model: onnx.ModelProto, shapes: Mapping[str, Shape]) -> Amount:
    """Measure a network.

    Args:
        model: its weights may be anywhere.
        shapes: of its inputs.
    """
    from edgetool.graph.macs import count_macs
    from edgetool.graph.shapes import infer_shapes

    return Amount(parameters_of(model.graph), count_macs(infer_shapes(model, shapes)).value)


def parameters_of(graph: onnx.GraphProto) -> int:
    """Stored floats of a graph; a single number is no parameter."""
    return sum(math.prod(tensor.dims) for tensor in graph.initializer if tensor.data_type in _FLOATS and tensor.dims)


def compared(before: Amount, after: Amount) -> dict[str, JsonValue]:
    """The two amounts as facts."""
    return {
        "parameters": {"from": before.parameters, "to": after.parameters},
        "macs": {"from": before.macs, "to": after.macs},
    }
