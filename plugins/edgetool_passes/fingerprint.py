"""Tells whether a rewrite changed a graph in anything that a runtime computes: the truth behind `changed`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx_ir as ir

Fingerprint = tuple[Any, ...]


def fingerprint(model: ir.Model) -> Fingerprint:
    """Nodes with their inputs, outputs and attributes, and which tensor each name stands for.

    Tensors are held and compare by identity, so that none is read. Inferred shapes and notes in metadata do not count.
    """
    functions = tuple(
        (function.identifier(), tuple(_node(node) for node in function)) for function in model.functions.values()
    )
    return tuple(model.opset_imports.items()), _graph(model.graph), functions


def _graph(graph: ir.Graph) -> Fingerprint:
    return (
        tuple(value.name for value in graph.inputs),
        tuple(value.name for value in graph.outputs),
        tuple((name, value.const_value) for name, value in sorted(graph.initializers.items())),
        tuple(_node(node) for node in graph),
    )


def _node(node: ir.Node) -> Fingerprint:
    return (
        node.domain,
        node.op_type,
        node.overload,
        tuple(value.name if value is not None else None for value in node.inputs),
        tuple(value.name for value in node.outputs),
        tuple((name, _attribute(attribute)) for name, attribute in sorted(node.attributes.items())),
    )


def _attribute(attribute: ir.Attr) -> Any:
    import onnx_ir as ir

    if attribute.is_ref():
        return attribute.ref_attr_name
    if attribute.type == ir.AttributeType.GRAPH:
        return _graph(attribute.as_graph())
    if attribute.type == ir.AttributeType.GRAPHS:
        return tuple(_graph(graph) for graph in attribute.as_graphs())
    if attribute.type == ir.AttributeType.TENSOR:
        return attribute.as_tensor()
    return repr(attribute.value)
