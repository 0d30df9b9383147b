"""Loops of which the file itself says that they never end.

Whether a program ends cannot be told in general, and the time limit of each step is there for the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgetool.errors import ModelError
from edgetool.graph.walk import node_label, subgraphs

if TYPE_CHECKING:
    import onnx


def check_loops(graph: onnx.GraphProto, *, where: str) -> None:
    """Refuse a Loop without a number of trips whose condition stays true.

    Args:
        graph: its nodes have the inputs and attributes that their operators define.
        where: the file, for messages.

    Raises:
        ModelError: `invalid-model`.
    """
    truths = _truths(graph)
    for index, node in enumerate(graph.node):
        for body in subgraphs(node):
            if node.op_type == "Loop" and not node.domain and _is_endless(node, body, truths):
                raise ModelError(
                    "invalid-model",
                    "Loop never ends: it has no number of trips, and nothing changes its condition",
                    where=f"{where}: node {node_label(node, index)}",
                    hint="export the model again with a number of trips, or with a condition that the body computes",
                )
            check_loops(body, where=where)


def _is_endless(node: onnx.NodeProto, body: onnx.GraphProto, outside: Mapping[str, bool]) -> bool:
    trips, condition = [*list(node.input), "", ""][:2]
    if trips or not body.output or outside.get(condition) is False:
        return False
    if not condition:  # what the body says is then ignored
        return True
    carried = body.output[0].name
    same = {output: row.input[0] for row in body.node if row.op_type == "Identity" for output in row.output}
    while carried in same:
        carried = same.pop(carried)
    return (len(body.input) > 1 and carried == body.input[1].name) or _truths(body).get(carried) is True


def _truths(graph: onnx.GraphProto) -> dict[str, bool]:
    """Stored and constant booleans of one element."""
    found = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            found.update((node.output[0], part.t) for part in node.attribute if part.name == "value")
    return {
        name: any(tensor.raw_data) or any(tensor.int32_data)
        for name, tensor in found.items()
        if tensor.data_type == 9 and all(size == 1 for size in tensor.dims)  # TensorProto.BOOL
    }
