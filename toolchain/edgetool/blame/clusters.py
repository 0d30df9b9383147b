"""Pairs a compressed network with its float original, tensor by tensor, and cuts it into layers.

A tensor that both networks compute under the same name means the same thing in both. Between two such tensors lies what
the passes made of one layer: its node with quantizers around it, two products in place of one, casts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgetool.graph.walk import node_label
from edgetool.qdq.index import GraphIndex

if TYPE_CHECKING:
    import onnx

_MARKS = frozenset({"QuantizeLinear", "DequantizeLinear", "Cast", "Constant", "Identity"})
"""Operators that say how numbers are stored, not what is computed."""

RESTORING = "::restoring"
"""How the names of nodes end that `restored` adds: they are no part of what a layer computes."""

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul", "Gather", "LSTM", "GRU", "RNN")


@dataclass(frozen=True, eq=False)
class Cluster:
    """What computes one shared tensor from other shared tensors in the compressed network.

    Attributes:
        tensor: what it computes, a float tensor that the original has too.
        label: of the node that counts: the weighted one, else the last.
        op_type: of that node.
        nodes: all of its nodes, in the graph's order.
        weighted: the node that counts has a weight.
        marked: it holds quantizers or casts: compression touched it.
        per_channel: its weight has a scale for each channel or block already.
    """

    tensor: str
    label: str
    op_type: str
    nodes: tuple[onnx.NodeProto, ...]
    weighted: bool
    marked: bool
    per_channel: bool


def shared_tensors(original: onnx.ModelProto, compressed: onnx.ModelProto) -> dict[str, int]:
    """Name -> element type in the compressed network, of every float tensor that nodes of both compute.

    A tensor that lost channels keeps its name and is another one.
    """
    import onnx

    floats = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
    ours, theirs = computed(compressed), computed(original)
    return {
        name: found.elem_type
        for name, found in ours.items()
        if found.elem_type in floats
        and name in theirs
        and theirs[name].elem_type == onnx.TensorProto.FLOAT
        and _may_be_alike(found, theirs[name])
    }


def _may_be_alike(one: onnx.TypeProto.Tensor, other: onnx.TypeProto.Tensor) -> bool:
    """False where known sizes of two tensors differ."""
    if not (one.HasField("shape") and other.HasField("shape")):
        return True
    sizes, others = one.shape.dim, other.shape.dim
    return len(sizes) == len(others) and all(
        not (size.HasField("dim_value") and same.HasField("dim_value")) or size.dim_value == same.dim_value
        for size, same in zip(sizes, others, strict=True)
    )


def computed(model: onnx.ModelProto) -> dict[str, onnx.TypeProto.Tensor]:
    """Name -> type of what the nodes of the main graph compute."""
    from onnx import shape_inference

    # Weights are inputs of the inference at most: without their bytes it is quick for any model.
    inferred = shape_inference.infer_shapes(_without_bytes(model)).graph
    kinds = {value.name: value.type.tensor_type for value in (*inferred.value_info, *inferred.output)}
    computed = {name for node in model.graph.node if node.op_type != "Constant" for name in node.output if name}
    return {name: kind for name, kind in kinds.items() if name in computed}


def _without_bytes(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose large initializers are graph inputs of the same type and shape."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {value.name for value in copy.graph.input}
    kept = []
    for tensor in copy.graph.initializer:
        if len(tensor.dims) < 2:  # shapes, axes, scales: inference may need their values
            kept.append(tensor)
        elif tensor.name not in known:
            copy.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    small = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in kept]
    del copy.graph.initializer[:]
    copy.graph.initializer.extend(small)
    return copy


def clusters(compressed: onnx.ModelProto, shared: dict[str, int]) -> tuple[Cluster, ...]:
    """One a shared tensor that compression may have touched, in the graph's order; the rest is the same in both."""
    index = GraphIndex(compressed.graph)
    places = {id(node): place for place, node in enumerate(compressed.graph.node)}
    found = []
    for node in compressed.graph.node:
        for tensor in node.output:
            if tensor in shared and tensor in index.moving:
                nodes = sorted(_behind(tensor, index, shared), key=lambda row: places[id(row)])
                found.append(_cluster(tensor, tuple(nodes), places, index))
    return tuple(found)


def _behind(tensor: str, index: GraphIndex, shared: dict[str, int]) -> Iterator[onnx.NodeProto]:
    """The nodes between a tensor and the shared tensors that it is computed from; constants' nodes included."""
    seen: set[int] = set()
    todo = [tensor]
    while todo:
        node = index.producers.get(todo.pop())
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        todo += [name for name in node.input if name and not (name in shared and name in index.moving)]


def _cluster(tensor: str, nodes: tuple[onnx.NodeProto, ...], places: dict[int, int], index: GraphIndex) -> Cluster:
    own = [node for node in nodes if not node.name.endswith(RESTORING)]
    acting = [node for node in own if node.op_type not in _MARKS] or own
    weighted = [node for node in acting if node.op_type in WEIGHTED and not index.moving.issuperset(node.input)]
    main = weighted[0] if weighted else acting[-1]
    return Cluster(
        tensor=tensor,
        label=node_label(main, places[id(main)]),
        op_type=main.op_type,
        nodes=nodes,
        weighted=bool(weighted),
        marked=any(node.op_type in _MARKS - {"Constant", "Identity"} for node in nodes),
        per_channel=any(_has_scales(node, index) for node in nodes),
    )


def _has_scales(node: onnx.NodeProto, index: GraphIndex) -> bool:
    scale = index.constant(node.input[1]) if node.op_type == "DequantizeLinear" else None
    return scale is not None and scale.size > 1
