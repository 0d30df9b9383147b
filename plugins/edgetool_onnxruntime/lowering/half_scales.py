"""Q/DQ with scales of 16 bits get float32 ones, and casts where they meet the rest of the network.

ONNX Runtime (1.31) quantizes the biases of convolutions by itself, with the product of both scales. In float16 that
product is often zero, and the results are wrong without a word. Its int8 kernels know float32 scales only, anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

_QUANTIZERS = frozenset({"QuantizeLinear", "DequantizeLinear"})


def widen_scales(graph: onnx.GraphProto) -> int:
    """Give float32 scales to every QuantizeLinear and DequantizeLinear that has stored ones of 16 bits; how many.

    Args:
        graph: edited in place.
    """
    import numpy as np
    import onnx

    from edgetool.qdq.editor import GraphEditor
    from edgetool.qdq.index import GraphIndex

    halves = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
    index = GraphIndex(graph)
    editor = GraphEditor(graph)
    scales: dict[str, str] = {}
    wide: dict[str, str] = {}
    count = 0
    for node in list(graph.node):
        stored = index.initializers.get(node.input[1]) if node.op_type in _QUANTIZERS else None
        if stored is None or stored.data_type not in halves:
            continue
        if stored.name not in scales:
            scales[stored.name] = editor.constant(index.values(stored.name).astype(np.float32), f"{stored.name}_fp32")
        editor.redirect(node, 1, scales[stored.name])
        if node.op_type == "QuantizeLinear":
            source = node.input[0]
            if source not in wide:
                wide[source] = editor.node("Cast", (source,), f"{source}_fp32", to=onnx.TensorProto.FLOAT)
            editor.redirect(node, 0, wide[source])
        else:
            result = node.output[0]
            editor.node_named("Cast", (editor.detach(result),), result, to=stored.data_type)
        count += 1
    editor.commit()
    return count
