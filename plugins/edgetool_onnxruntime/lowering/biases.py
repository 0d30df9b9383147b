"""Float biases become int32 where a kernel takes no other: those of Gemm, and of MatMul and Add that fuse to one.

The biases of Conv the runtime converts by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import onnx

    from edgetool.qdq.editor import GraphEditor
    from edgetool.qdq.index import GraphIndex


def quantize_biases(graph: onnx.GraphProto, matrices: frozenset[str]) -> int:
    """Quantize the constant biases of products whose other inputs are dequantized; how many.

    Args:
        graph: edited in place.
        matrices: names of tensors with exactly two dimensions. The runtime turns a MatMul of such with the Add behind
            it into a Gemm, whose float bias would then keep it from being a QGemm.
    """
    from edgetool.qdq.editor import GraphEditor
    from edgetool.qdq.index import GraphIndex

    index = GraphIndex(graph)
    editor = GraphEditor(graph)
    count = 0
    for product, reader, position in list(_biased_products(graph, index, matrices)):
        input_scale, weight_scale = (_scale(index, name) for name in product.input[:2])
        bias = index.constant(reader.input[position])
        if bias is None or input_scale is None or weight_scale is None:
            continue
        if bias.shape[-1:] == (bias.size,):  # one value a column
            stored = _stored(editor, bias.reshape(-1), input_scale, weight_scale, reader.input[position])
            editor.redirect(reader, position, stored)
            count += 1
    editor.commit()
    return count


def _biased_products(
    graph: onnx.GraphProto, index: GraphIndex, matrices: frozenset[str]
) -> Iterator[tuple[onnx.NodeProto, onnx.NodeProto, int]]:
    """(the product, the node that reads its bias, at which position)"""
    for node in graph.node:
        if node.op_type == "Gemm" and len(node.input) > 2 and _is_plain(node):
            yield node, node, 2
        elif node.op_type == "MatMul" and matrices.issuperset(node.input):
            reader = index.only_reader(node.output[0])
            if reader is not None and reader.op_type == "Add":
                yield node, reader, 1 if reader.input[0] == node.output[0] else 0


def _is_plain(node: onnx.NodeProto) -> bool:
    return all(entry.f == 1.0 for entry in node.attribute if entry.name in ("alpha", "beta"))


def _scale(index: GraphIndex, name: str) -> np.ndarray[Any, Any] | None:
    """Scale of the DequantizeLinear that makes a tensor."""
    producer = index.producers.get(name)
    if producer is None or producer.op_type != "DequantizeLinear":
        return None
    return index.constant(producer.input[1])


def _stored(
    editor: GraphEditor,
    bias: np.ndarray[Any, Any],
    input_scale: np.ndarray[Any, Any],
    weight_scale: np.ndarray[Any, Any],
    name: str,
) -> str:
    """Store a bias in steps of both scales' product, as the kernel adds it; the dequantized tensor's name."""
    import numpy as np

    steps = (input_scale.astype(np.float64) * weight_scale.astype(np.float64)).reshape(-1)
    limits = np.iinfo(np.int32)
    integers = np.clip(np.round(bias / steps), limits.min, limits.max).astype(np.int32)
    steps = steps if steps.size > 1 else steps.reshape(())
    inputs = [
        editor.constant(integers, f"{name}_int32"),
        editor.constant(steps.astype(np.float32), f"{name}_scale"),
        editor.constant(np.zeros(steps.shape, np.int32), f"{name}_zero_point"),
    ]
    return editor.node("DequantizeLinear", inputs, f"{name}_dequantized", axis=0)
