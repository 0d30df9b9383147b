"""Float biases of Gemm become int32: its int8 kernel takes no other. Those of Conv the runtime converts by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import onnx

    from edgetool.qdq.index import GraphIndex


def quantize_biases(graph: onnx.GraphProto) -> int:
    """Quantize the constant biases of all Gemm nodes whose other inputs are dequantized; how many."""
    import numpy as np

    from edgetool.qdq.editor import GraphEditor
    from edgetool.qdq.index import GraphIndex

    index = GraphIndex(graph)
    editor = GraphEditor(graph)
    count = 0
    for node in list(graph.node):
        if node.op_type != "Gemm" or len(node.input) < 3 or not _is_plain(node):
            continue
        bias, input_scale, weight_scale = (
            index.constant(node.input[2]),
            *(_scale(index, name) for name in node.input[:2]),
        )
        if bias is None or input_scale is None or weight_scale is None or bias.ndim != 1:
            continue
        steps = (input_scale.astype(np.float64) * weight_scale.astype(np.float64)).reshape(-1)
        limits = np.iinfo(np.int32)
        integers = np.clip(np.round(bias / steps), limits.min, limits.max).astype(np.int32)
        steps = np.broadcast_to(steps, bias.shape) if steps.size > 1 else steps.reshape(())
        name = node.input[2]
        inputs = [
            editor.constant(integers, f"{name}_int32"),
            editor.constant(steps.astype(np.float32), f"{name}_scale"),
            editor.constant(np.zeros(steps.shape, np.int32), f"{name}_zero_point"),
        ]
        editor.redirect(node, 2, editor.node("DequantizeLinear", inputs, f"{name}_dequantized", axis=0))
        count += 1
    editor.commit()
    return count


def _is_plain(node: onnx.NodeProto) -> bool:
    return all(entry.f == 1.0 for entry in node.attribute if entry.name in ("alpha", "beta"))


def _scale(index: GraphIndex, name: str) -> np.ndarray[Any, Any] | None:
    """Scale of the DequantizeLinear that makes a tensor."""
    producer = index.producers.get(name)
    if producer is None or producer.op_type != "DequantizeLinear":
        return None
    return index.constant(producer.input[1])
