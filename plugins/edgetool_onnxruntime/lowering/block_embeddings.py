"""Embedding tables in blocks, or with zero points: only the rows that are looked up are widened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgetool_onnxruntime.lowering.stored_weights import MICROSOFT, StoredWeight, block_matrix, stored_weights

if TYPE_CHECKING:
    import onnx

    from edgetool.qdq.editor import GraphEditor


def use_block_gather(graph: onnx.GraphProto) -> int:
    """Turn Gather on a dequantized table into GatherBlockQuantized; how many there were.

    Symmetric int8 tables with a scale for each row are left to `gather_then_dequantize`, which needs no operator of
    ONNX Runtime's own.

    Args:
        graph: edited in place.
    """
    from edgetool.qdq.editor import GraphEditor
    from edgetool.qdq.index import GraphIndex

    index = GraphIndex(graph)
    editor = GraphEditor(graph)
    count = 0
    for weight in stored_weights(index):
        readers = [node for node in index.readers.get(weight.output, []) if _looks_up_rows(node, weight)]
        if readers and not _is_plain(weight):
            count += _use(editor, readers, weight)
    editor.commit()
    return count


def _looks_up_rows(node: onnx.NodeProto, weight: StoredWeight) -> bool:
    from edgetool.qdq.index import attribute

    return node.op_type == "Gather" and node.input[0] == weight.output and attribute(node, "axis", 0) == 0


def _is_plain(weight: StoredWeight) -> bool:
    return weight.bits == 8 and weight.block == 0 and weight.zero_point is None


def _use(editor: GraphEditor, readers: list[onnx.NodeProto], weight: StoredWeight) -> int:
    import onnx.helper

    matrix = block_matrix(weight, rows=0)
    if matrix is None:
        return 0
    table = editor.constant(matrix.packed_rows(), f"{weight.name}_rows")
    scale = editor.constant(matrix.scale, f"{weight.name}_row_scale")
    zero_point = matrix.packed_zero_point()
    behind = [] if zero_point is None else [editor.constant(zero_point, f"{weight.name}_row_zero_point")]
    attributes = {"bits": matrix.bits, "block_size": matrix.block, "gather_axis": 0, "quantize_axis": 1}
    for node in readers:
        editor.redirect(node, 0, table)
        node.input.extend([scale, *behind])
        node.op_type, node.domain = "GatherBlockQuantized", MICROSOFT
        del node.attribute[:]
        node.attribute.extend(onnx.helper.make_attribute(name, value) for name, value in attributes.items())
    return len(readers)
