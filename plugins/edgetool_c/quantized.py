"""Lowering: a convolution whose result is quantized right away gives integers right away, a quarter of the RAM.

Rounding, Relu and MaxPool keep the order of values, so that they may change places.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool.qdq.editor import GraphEditor
from edgetool.qdq.index import GraphIndex

if TYPE_CHECKING:
    import numpy as np
    import onnx

_FINE = 1 / 16
"""The bias is rounded to steps of the sums. This share of an output step they may be at most."""


@dataclass(frozen=True)
class Ending:
    """What follows a convolution up to the integers.

    Attributes:
        relu, pool: between the convolution and the quantization, where they are there.
        quantize: its QuantizeLinear.
        scale: of the integers.
        zero_point: of them, with their type.
    """

    relu: onnx.NodeProto | None
    pool: onnx.NodeProto | None
    quantize: onnx.NodeProto
    scale: float
    zero_point: np.integer[Any]

    @property
    def nodes(self) -> tuple[onnx.NodeProto, ...]:
        return tuple(node for node in (self.relu, self.pool, self.quantize) if node is not None)


def ending_of(node: onnx.NodeProto, index: GraphIndex) -> Ending | None:
    """How a node's only output ends in integers of one scale; None where anybody else sees what is between."""
    import numpy as np

    name, found = node.output[0], {}
    for op_type in ("Relu", "MaxPool"):
        reader = index.only_reader(name)
        if reader is not None and reader.op_type == op_type and len(reader.output) == 1:
            found[op_type], name = reader, reader.output[0]
    quantize = index.only_reader(name)
    if quantize is None or quantize.op_type != "QuantizeLinear" or len(quantize.input) < 3:
        return None
    scale, zero_point = index.constant(quantize.input[1]), index.constant(quantize.input[2])
    if scale is None or zero_point is None or scale.size != 1 or zero_point.ndim != 0:
        return None
    if scale.dtype != np.float32 or zero_point.dtype not in (np.int8, np.uint8):
        return None
    zero: np.integer[Any] = zero_point.reshape(-1)[0]
    return Ending(found.get("Relu"), found.get("MaxPool"), quantize, float(scale.reshape(())), zero)


def integer_bias(
    bias: np.ndarray[Any, Any], scale: np.ndarray[Any, Any], ending: Ending, *, channels: int
) -> np.ndarray[Any, Any] | None:
    """The bias in steps of the sums, one a channel; None where those are too coarse or it leaves 32 bits."""
    import numpy as np

    steps = np.broadcast_to(scale.astype(np.float64), channels)
    values = np.rint((bias if bias.size else np.zeros(channels)) / steps)
    if steps.max() > ending.scale * _FINE or np.abs(values).max() >= 2**30:
        return None
    return values.astype(np.int32)


def write_ending(editor: GraphEditor, integers: str, ending: Ending, result: str) -> None:
    """Relu and MaxPool on integers, under the name that the quantization had given its result."""
    import numpy as np

    steps: list[tuple[str, tuple[str, ...], list[Any]]] = []
    if ending.relu is not None and ending.zero_point != np.iinfo(ending.zero_point.dtype).min:
        steps.append(("Max", (ending.quantize.input[2],), []))
    if ending.pool is not None:
        steps.append(("MaxPool", (), list(ending.pool.attribute)))
    if not steps:
        editor.node_named("Identity", (integers,), result)
    for place, (op_type, more, attributes) in enumerate(steps):
        inputs = (integers, *more)
        is_last = place == len(steps) - 1
        integers = editor.node_named(op_type, inputs, result) if is_last else editor.node(op_type, inputs, integers)
        made = next(row for row in editor.graph.node if integers in row.output)
        made.attribute.extend(attributes)
