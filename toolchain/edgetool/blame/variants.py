"""The networks that blame runs: with all shared tensors handed out, each layer alone, one layer in the original."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from edgetool.blame.clusters import Cluster
from edgetool.graph.walk import subgraphs

if TYPE_CHECKING:
    import onnx

ALONE = "::alone"


def with_outputs(model: onnx.ModelProto, tensors: Mapping[str, int]) -> onnx.ModelProto:
    """A copy that hands these tensors out too, given with their element types."""
    import onnx

    copy = _copy(model)
    known = {value.name for value in copy.graph.output}
    copy.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, kind, None) for name, kind in tensors.items() if name not in known
    )
    return copy


def alone(compressed: onnx.ModelProto, shared: Mapping[str, int], *, quantized_activations: bool) -> onnx.ModelProto:
    """Every layer fed with the original's tensors: shared tensors are inputs, and what is computed gets `::alone`.

    Args:
        compressed: the network.
        shared: tensors that both networks have, with their element types in this one.
        quantized_activations: False leaves quantizers of activations out, so that only the weights' error is left.
    """
    import onnx

    copy = _copy(compressed)
    graph = copy.graph
    if not quantized_activations:
        _leave_out_activation_quantizers(graph)
    computed = [name for node in graph.node for name in node.output if name in shared]
    read = {name for node in graph.node for name in (*node.input, *_captured(node))} & set(computed)
    for node in graph.node:
        node.output[:] = [name + ALONE if name in shared else name for name in node.output]
    del graph.output[:]
    del graph.value_info[:]
    graph.output.extend(onnx.helper.make_tensor_value_info(name + ALONE, shared[name], None) for name in computed)
    graph.input.extend(onnx.helper.make_tensor_value_info(name, shared[name], None) for name in sorted(read))
    return copy


def _leave_out_activation_quantizers(graph: onnx.GraphProto) -> None:
    from edgetool.qdq.pairs import activation_pairs

    pairs = activation_pairs(graph)
    skipped = {output: pair.tensor for pair in pairs for node in pair.dequantize for output in node.output}
    gone = {id(node) for pair in pairs for node in (pair.quantize, *pair.dequantize)}
    kept = [node for node in graph.node if id(node) not in gone]
    for node in kept:
        node.input[:] = [skipped.get(name, name) for name in node.input]
    outputs = {value.name for value in graph.output}
    remaining = [_clone(node) for node in kept]
    del graph.node[:]
    graph.node.extend(remaining)
    for name in outputs & skipped.keys():
        graph.node.append(_identity(skipped[name], name))


def with_one_layer(original: onnx.ModelProto, compressed: onnx.ModelProto, cluster: Cluster) -> onnx.ModelProto:
    """The original with one layer as the compressed network has it; both are of one opset."""
    copy = _copy(original)
    prefix = f"{cluster.tensor}::compressed::"
    inner = {name for node in cluster.nodes for name in node.output if name and name != cluster.tensor}
    stored = {tensor.name: tensor for tensor in compressed.graph.initializer}
    used = {name for node in cluster.nodes for name in node.input if name in stored}
    renamed = {name: prefix + name for name in (*inner, *used)}
    for node in copy.graph.node:
        node.output[:] = [f"{name}::float" if name == cluster.tensor else name for name in node.output]
    for name in sorted(used):
        tensor = copy.graph.initializer.add()
        tensor.CopyFrom(stored[name])
        tensor.name = renamed[name]
    for node in cluster.nodes:
        placed = _clone(node)
        placed.name = prefix + node.name
        placed.input[:] = [renamed.get(name, name) for name in node.input]
        placed.output[:] = [renamed.get(name, name) for name in node.output]
        copy.graph.node.append(placed)
    _sort(copy.graph)
    return copy


def _sort(graph: onnx.GraphProto) -> None:
    """Producers before readers."""
    made = {name: place for place, node in enumerate(graph.node) for name in node.output}
    order: list[int] = []
    state: dict[int, bool] = {}
    for start in range(len(graph.node)):
        stack = [start]
        while stack:
            place = stack[-1]
            if state.get(place):
                stack.pop()
                continue
            node = graph.node[place]
            needed = (made[name] for name in (*node.input, *_captured(node)) if name in made)
            missing = [one for one in needed if not state.get(one)]
            if missing and place not in state:
                state[place] = False
                stack += missing
                continue
            state[place] = True
            order.append(stack.pop())
    nodes = [_clone(graph.node[place]) for place in order]
    del graph.node[:]
    graph.node.extend(nodes)


def _captured(node: onnx.NodeProto) -> Iterable[str]:
    from edgetool.qdq.index import captured

    return captured(node) if any(True for _ in subgraphs(node)) else ()


def _identity(source: str, target: str) -> onnx.NodeProto:
    import onnx

    return onnx.helper.make_node("Identity", [source], [target])


def _clone(node: onnx.NodeProto) -> onnx.NodeProto:
    import onnx

    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy
