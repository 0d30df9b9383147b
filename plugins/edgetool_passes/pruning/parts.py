"""The part of a model that computes given tensors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from edgetool.qdq.index import captured

if TYPE_CHECKING:
    import onnx


def part_that_computes(model: onnx.ModelProto, tensors: Iterable[str]) -> onnx.ModelProto:
    """A copy with the model's inputs, these tensors as float32 outputs, and nothing that they do not need."""
    import onnx
    import onnx.helper

    producers = {name: number for number, node in enumerate(model.graph.node) for name in node.output if name}
    needed: set[str] = set()
    waiting = list(tensors)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            if name in producers:
                node = model.graph.node[producers[name]]
                waiting += [*filter(None, node.input), *captured(node)]
    part = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    part.graph.name = model.graph.name
    part.graph.input.extend(model.graph.input)
    part.graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name in needed)
    part.graph.node.extend(node for node in model.graph.node if not needed.isdisjoint(node.output))
    fed = {value.name for value in model.graph.input}
    part.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in dict.fromkeys(tensors)
        if name not in fed
    )
    return part
