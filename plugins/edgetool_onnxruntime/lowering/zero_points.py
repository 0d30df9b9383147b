"""Symmetric int8 activations become uint8: x86 has fast kernels for uint8 times int8 only.

A zero point of 128 with the same scale stands for the same real numbers. Where a processor lacks VNNI, the sum of two
products of uint8 and int8 may saturate; seven-bit weights (`weight_bits = 7`) rule that out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


def shift_to_uint8(graph: onnx.GraphProto) -> int:
    """Raise the zero points of all int8 activation pairs by 128; how many pairs were changed."""
    import numpy as np

    from edgetool.qdq.editor import GraphEditor
    from edgetool.qdq.pairs import activation_pairs, requantize, store_grid

    editor = GraphEditor(graph)
    count = 0
    for pair in activation_pairs(graph):
        if pair.zero_point.dtype == np.int8:
            zero_point = np.uint8(int(pair.zero_point) + 128)
            grid = store_grid(editor, pair.tensor, scale=pair.scale, zero_point=zero_point, dtype=pair.dtype)
            requantize(editor, pair, grid)
            count += 1
    editor.commit()
    return count
