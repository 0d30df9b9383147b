"""Several versions of a network in one model, so that one run over the samples shows what each makes of them.

They share inputs and every weight that is the same in all; a runtime that merges equal nodes computes what they have in
common once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgetool.graph.walk import subgraphs

if TYPE_CHECKING:
    import onnx


def side_by_side(first: onnx.ModelProto, others: Mapping[str, onnx.ModelProto]) -> onnx.ModelProto:
    """A model that computes all of them, and has no outputs yet: what is watched decides what has to be computed.

    Args:
        first: keeps its names.
        others: prefix -> another version: its node outputs are called `prefix + name`. All have the inputs of `first`.
    """
    import onnx

    joined = onnx.ModelProto()
    joined.CopyFrom(first)
    stored = {tensor.name: tensor for tensor in first.graph.initializer}
    for prefix, other in others.items():
        renamed = {name: prefix + name for node in other.graph.node for name in node.output if name}
        for tensor in other.graph.initializer:
            if tensor.name in stored and stored[tensor.name] == tensor:
                continue
            renamed[tensor.name] = prefix + tensor.name
            joined.graph.initializer.add().CopyFrom(tensor)
            joined.graph.initializer[-1].name = prefix + tensor.name
        for node in other.graph.node:
            added = joined.graph.node.add()
            added.CopyFrom(node)
            added.name = prefix + node.name
            _rename(added, renamed)
    joined.graph.ClearField("value_info")
    joined.graph.ClearField("output")
    return joined


def _rename(node: onnx.NodeProto, names: Mapping[str, str]) -> None:
    """Let a node read and write under new names; its subgraphs follow, except where they have a name of their own."""
    node.input[:] = [names.get(name, name) for name in node.input]
    node.output[:] = [names.get(name, name) for name in node.output]
    for inner in subgraphs(node):
        own = {value.name for value in (*inner.input, *inner.initializer)}
        own |= {name for part in inner.node for name in part.output}
        visible = {name: new for name, new in names.items() if name not in own}
        for part in inner.node:
            _rename(part, visible)
        for value in inner.output:
            value.name = visible.get(value.name, value.name)
