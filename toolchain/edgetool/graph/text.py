"""Names that are no text: protobuf hands them out as bytes, and everything that expects a name then stumbles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgetool.errors import ModelError
from edgetool.graph.walk import graphs, tensors

if TYPE_CHECKING:
    import onnx


def check_text(model: onnx.ModelProto, *, where: str) -> None:
    """Refuse a model in which a name is not valid UTF-8.

    Raises:
        ModelError: `damaged-model`.
    """
    for name in _names(model):
        if isinstance(name, bytes):
            raise ModelError(
                "damaged-model",
                f"a name in it is not text: {name[:40]!r}",
                where=where,
                hint="export or download the model again",
            )


def _names(model: onnx.ModelProto) -> Iterator[str | bytes]:
    yield from (model.producer_name, model.producer_version, model.domain)
    yield from (entry.domain for entry in model.opset_import)
    for prop in model.metadata_props:
        yield from (prop.key, prop.value)
    for graph in graphs(model.graph):
        yield graph.name
        yield from _node_names(graph.node)
        for value in (*graph.input, *graph.output, *graph.value_info):
            yield value.name
            yield from (dim.dim_param for dim in value.type.tensor_type.shape.dim)
    for function in model.functions:
        yield from (function.name, function.domain, *function.input, *function.output)
        yield from _node_names(function.node)
    for named in tensors(model):
        yield named.tensor.name
        for entry in named.tensor.external_data:
            yield from (entry.key, entry.value)


def _node_names(nodes: Iterator[onnx.NodeProto]) -> Iterator[str | bytes]:
    for node in nodes:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)
