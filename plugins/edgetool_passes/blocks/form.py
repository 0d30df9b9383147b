"""When two parts of a network are alike: the same operators, joined in the same way, weights of the same shapes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from edgetool.qdq.index import captured

if TYPE_CHECKING:
    import onnx

    from edgetool_passes.blocks.flow import Flow

FLOATS = frozenset({1, 10, 11, 16})  # float32, float16, float64, bfloat16


class Forms:
    """Tells the form of parts of one graph.

    The form is a hash over operators, attributes and what each node reads, computed from the leaves up. Stored floats
    count with their shape only, integers with their values, as they are axes and sizes.

    Args:
        flow: of the graph.
    """

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._everywhere = {value.name: f"input {value.name}" for value in flow.graph.input}
        self._everywhere |= {name: _stored(tensor) for name, tensor in flow.index.initializers.items()}
        for node in flow.graph.node:
            # What a Shape is taken of says nothing new: within a stack of blocks, all of them have the same.
            inputs = [] if node.op_type == "Shape" else [*node.input, *captured(node)]
            self._everywhere |= _results(node, [self._everywhere.get(name, "") for name in inputs])

    def of(self, start: str, nodes: Sequence[onnx.NodeProto], end: str) -> str:
        """The form of the part that computes `end` from `start`."""
        inside: dict[str, str] = {start: "start"}
        for node in nodes:
            inside |= _results(node, [self._look_up(name, inside) for name in (*node.input, *captured(node))])
        return inside[end]

    def _look_up(self, name: str, inside: Mapping[str, str]) -> str:
        return inside[name] if name in inside else self._everywhere.get(name, "")


def _results(node: onnx.NodeProto, inputs: Iterable[str]) -> dict[str, str]:
    attributes = sorted(entry.SerializeToString() for entry in node.attribute)
    total = hashlib.sha256("\0".join((node.domain, node.op_type, *inputs)).encode())
    for part in attributes:
        total.update(b"\0" + part)
    return {name: f"{total.hexdigest()} {place}" for place, name in enumerate(node.output) if name}


def _stored(tensor: onnx.TensorProto) -> str:
    kind = f"stored {tensor.data_type} {list(tensor.dims)}"
    if tensor.data_type in FLOATS:
        return kind
    from onnx import numpy_helper

    return f"{kind} {hashlib.sha256(numpy_helper.to_array(tensor).tobytes()).hexdigest()}"
