"""What TensorRT-RTX's parser makes of a model. It is a verdict on reading it: *parser accepts*, never *will build*."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool.artifact import Model
from edgetool.disk import host_errors
from edgetool.graph import load, node_label
from edgetool.graph.walk import graphs
from edgetool_tensorrt.reasons import unknown_operator
from edgetool_tensorrt.rejections import Rejection, rejections
from edgetool_tensorrt.rtx.toolkit import load_toolkit
from edgetool_tensorrt.session import Session

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, slots=True)
class ParserVerdict:
    """Whether the parser accepts a model, and every node that it does not accept."""

    accepted: bool
    rows: tuple[Rejection, ...]


def verdict(model: Model) -> ParserVerdict:
    """Ask the parser about every node in one pass; nothing is built.

    The parser stops at the first fault inside a branch or a loop's body, so operators that it lacks are looked for in
    subgraphs besides; and nodes that no part of its own division holds are refused even when it gives no reason.

    Raises:
        ModelError: what `edgetool.graph.load` refuses: the parser itself accepts an empty file.
        UnavailableError: `tensorrt-rtx-missing`, `tensorrt-failed`.
        HostError: the file cannot be read, or memory ran out.
    """
    proto = load(model.path, weights=False)
    with host_errors(model.path):
        content = model.path.read_bytes()
    with Session(load_toolkit()) as session:
        accepted = bool(session.parser.supports_model_v2(content, str(model.path)))
        found = list(rejections(session.parser, proto, where=str(model.path)))
        if not accepted:
            found += _lacking(session.parser, proto)
            found += _left_out(session.parser, proto)
    rows: dict[str, Rejection] = {}
    for row in found:
        rows.setdefault(row.node or row.reason, row)  # the parser's own word comes first
    return ParserVerdict(accepted, tuple(rows.values()))


def _lacking(parser: Any, proto: onnx.ModelProto) -> Iterator[Rejection]:
    """Nodes of operators that the parser does not know at all, those in subgraphs included."""
    functions = {(function.domain, function.name) for function in proto.functions}
    known: dict[str, bool] = {}
    for graph in graphs(proto.graph):
        for index, node in enumerate(graph.node):
            if node.domain not in ("", "ai.onnx") or (node.domain, node.op_type) in functions:
                continue
            if not known.setdefault(node.op_type, bool(parser.supports_operator(node.op_type))):
                yield Rejection(node_label(node, index), node.op_type, unknown_operator(node.op_type))


def _left_out(parser: Any, proto: onnx.ModelProto) -> Iterator[Rejection]:
    """Nodes of the main graph that no part of the parser's own division holds."""
    held = {number for part in range(parser.num_subgraphs) for number in parser.get_subgraph_nodes(part)}
    for number, node in enumerate(proto.graph.node):
        if number not in held:
            yield Rejection(node_label(node, number), node.op_type, "the parser leaves it out without a reason")
