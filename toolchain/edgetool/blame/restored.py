"""Gives tensors that a pass scaled channel by channel their old meaning back, so that layers end at them.

Such a pass gives them new names, since they no longer mean what they did. Two nodes more compute the old tensor from
the new one and the new one from the old: then both networks have it, and everything that compares them finds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgetool.blame.clusters import RESTORING, computed
from edgetool.passes.base import Rescaled
from edgetool.qdq.index import GraphIndex

if TYPE_CHECKING:
    import onnx


def restored(model: onnx.ModelProto, rescaled: Sequence[Rescaled]) -> onnx.ModelProto:
    """A copy that computes the old tensors, too, and everything else from them; the model itself without any.

    Args:
        model: after the passes.
        rescaled: what they scaled, in the order in which they did. Tensors that a later pass took out are passed over.
    """
    import onnx

    if not rescaled:
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    kinds = computed(copy)
    for row in reversed(rescaled):  # the last scaled what those before it had left
        index = GraphIndex(copy.graph)
        for new, old in row.tensors.items():
            kind = kinds.get(new)
            if new in index.producers and old not in index.producers and kind is not None and kind.HasField("shape"):
                _restore(copy.graph, new, old, row.factor, kind)
                kinds[old] = kind
    return copy


def _restore(graph: onnx.GraphProto, new: str, old: str, factor: Sequence[float], kind: onnx.TypeProto.Tensor) -> None:
    from onnx import helper

    shape = [len(factor), *[1] * (len(kind.shape.dim) - 2)]
    stored, scaled = f"{old}::factor", f"{new}::scaled"
    graph.initializer.append(helper.make_tensor(stored, kind.elem_type, shape, list(factor)))
    nodes = []
    for node in graph.node:
        nodes.append(node)
        if new in node.output:
            node.output[:] = [scaled if name == new else name for name in node.output]
            nodes.append(helper.make_node("Mul", [scaled, stored], [old], f"{old}/{new}{RESTORING}"))
            nodes.append(helper.make_node("Div", [old, stored], [new], f"{new}/{old}{RESTORING}"))
    placed = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(placed)
