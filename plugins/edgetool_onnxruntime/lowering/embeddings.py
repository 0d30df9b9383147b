"""Embedding tables: ONNX Runtime would dequantize the whole table on every run, to look up a few rows of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

    from edgetool.qdq.editor import GraphEditor
    from edgetool.qdq.index import GraphIndex


def gather_then_dequantize(graph: onnx.GraphProto) -> int:
    """Look rows up in int8 and dequantize only those; how many Gather nodes were changed.

    Applies to tables that are stored in int8 with zero point 0 and one scale a row, or one in all.
    """
    from edgetool.qdq.editor import GraphEditor
    from edgetool.qdq.index import GraphIndex, attribute

    index = GraphIndex(graph)
    editor = GraphEditor(graph)
    count = 0
    for node in list(graph.node):
        if node.op_type == "Gather" and attribute(node, "axis", 0) == 0:
            dequantize = index.producers.get(node.input[0])
            if dequantize is not None and _is_row_wise_table(dequantize, index):
                _swap(editor, index, node, dequantize)
                count += 1
    editor.commit()
    return count


def _is_row_wise_table(dequantize: onnx.NodeProto, index: GraphIndex) -> bool:
    from edgetool.qdq.index import attribute

    if dequantize.op_type != "DequantizeLinear" or not index.is_stored(dequantize.input[0]):
        return False
    scale = index.constant(dequantize.input[1])
    zero_point = index.constant(dequantize.input[2]) if len(dequantize.input) > 2 else None
    if scale is None or (zero_point is not None and zero_point.any()):
        return False
    return scale.size == 1 or (scale.ndim == 1 and attribute(dequantize, "axis", 1) == 0)


def _swap(editor: GraphEditor, index: GraphIndex, node: onnx.NodeProto, dequantize: onnx.NodeProto) -> None:
    import onnx

    table, scale = index.initializers[dequantize.input[0]], index.constant(dequantize.input[1])
    assert scale is not None, "_is_row_wise_table has looked"
    result, indices = node.output[0], node.input[1]
    editor.redirect(node, 0, table.name)
    rows = editor.node("Cast", (editor.detach(result),), f"{result}_rows", to=onnx.TensorProto.FLOAT)
    steps = editor.constant(scale.reshape((-1,) + (1,) * (len(table.dims) - 1)), f"{table.name}_row_scale")
    if scale.size > 1:
        steps = editor.node("Gather", (steps, indices), f"{result}_row_scale", axis=0)
    editor.node_named("Mul", (rows, steps), result)
