"""The nodes that a parser of TensorRT or TensorRT-RTX refuses, read from its errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool.disk import out_of_memory
from edgetool.graph import node_label
from edgetool_tensorrt.reasons import reason_of
from edgetool_tensorrt.wording import speaks_of_memory

if TYPE_CHECKING:
    import onnx


_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Rejection:
    """One node that the parser refuses.

    Attributes:
        node: its label; empty when the fault is the graph's as a whole.
        op_type: its operator; empty likewise.
        reason: one sentence.
    """

    node: str
    op_type: str
    reason: str


def rejections(parser: Any, proto: onnx.ModelProto, *, where: str) -> Iterator[Rejection]:
    """The errors that a parser collected, in words of our own.

    Args:
        parser: an `OnnxParser` of TensorRT 10 or later, or of TensorRT-RTX, after it parsed.
        proto: what it parsed, to name nodes that have no name.
        where: the file, for messages.

    Raises:
        HostError: `out-of-memory`, which the parser reports as a fault of the model.
    """
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        if speaks_of_memory(error.desc()):
            raise out_of_memory(where)
        reason = reason_of(error.desc(), code=error.code().name, function=error.func(), op_type=error.node_operator())
        yield Rejection(_label(error, proto), error.node_operator(), reason)


def describe(rows: Sequence[Rejection]) -> str:
    """Each reason once, with the nodes that it is given for; empty when there is no row."""
    nodes: dict[str, list[str]] = {}
    for row in rows:
        nodes.setdefault(row.reason, []).extend([row.node] if row.node else [])
    return "; ".join(reason + at(labels) for reason, labels in nodes.items())


def at(labels: Sequence[str]) -> str:
    """The first few labels behind a colon, and how many more there are; empty when there is none."""
    if not labels:
        return ""
    more = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
    return f": {', '.join(labels[:_SHOWN])}{more}"


def _label(error: Any, proto: onnx.ModelProto) -> str:
    """The node's label. An error inside a subgraph gives the number of the node that holds it, but its own name."""
    if name := error.node_name():
        return str(name)
    number = error.node()
    if error.local_function_stack() or not 0 <= number < len(proto.graph.node):
        return str(error.node_operator())
    return node_label(proto.graph.node[number], number)
