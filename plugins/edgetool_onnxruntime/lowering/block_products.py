"""Products with stored integers: ONNX Runtime's MatMulNBits multiplies them as they are and never widens them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgetool_onnxruntime.lowering.stored_weights import (
    MICROSOFT,
    StoredWeight,
    block_matrix,
    is_dequantized_activation,
    stored_weights,
)

if TYPE_CHECKING:
    import onnx

    from edgetool.qdq.editor import GraphEditor
    from edgetool.qdq.index import GraphIndex

_INT8_ACTIVATIONS = 4
"""`accuracy_level`: activations are rounded to int8, with a scale for each block of each vector."""


def use_block_products(graph: onnx.GraphProto) -> int:
    """Turn MatMul and Gemm with a float input and stored integers into MatMulNBits; how many there were.

    The operator quantizes its float input to int8 in blocks while it runs. It could compute in float as well: in
    4 bits as slow as the float product, in 8 bits slower (MiniLM: 48 ms; the float product takes 33, and this one 23).

    Args:
        graph: edited in place.
    """
    from edgetool.qdq.editor import GraphEditor
    from edgetool.qdq.index import GraphIndex

    index = GraphIndex(graph)
    editor = GraphEditor(graph)
    count = 0
    for weight in stored_weights(index):
        made: dict[int, _Operands | None] = {}
        for node in index.readers.get(weight.output, []):
            rows = _rows_axis(node, weight, index)
            if rows is None:
                continue
            if rows not in made:
                made[rows] = _operands(editor, weight, rows)
            if (operands := made[rows]) is not None:
                _use(editor, node, operands)
                count += 1
    editor.commit()
    return count


def _rows_axis(node: onnx.NodeProto, weight: StoredWeight, index: GraphIndex) -> int | None:
    """Axis of the weight that its outputs lie along; None for nodes that the kernel cannot stand for."""
    from edgetool.qdq.index import attribute

    if node.op_type not in ("MatMul", "Gemm") or node.input[1] != weight.output or weight.integers.ndim != 2:
        return None
    if node.input[0] == weight.output or is_dequantized_activation(node.input[0], index):
        return None
    if node.op_type == "MatMul":
        return 1
    rows = 0 if attribute(node, "transB", 0) else 1
    plain = all(entry.f == 1.0 for entry in node.attribute if entry.name in ("alpha", "beta"))
    return (
        rows if plain and not attribute(node, "transA", 0) and _fits(node, weight.integers.shape[rows], index) else None
    )


def _fits(gemm: onnx.NodeProto, outputs: int, index: GraphIndex) -> bool:
    """The kernel adds one number an output, or none."""
    if len(gemm.input) < 3 or not gemm.input[2]:
        return True
    bias = index.initializers.get(gemm.input[2])
    return bias is not None and list(bias.dims) == [outputs]


@dataclass(frozen=True, slots=True)
class _Operands:
    """What MatMulNBits is told of a weight: names of its constants, and its attributes."""

    names: tuple[str, str, str]
    outputs: int
    inputs: int
    bits: int
    block: int


def _operands(editor: GraphEditor, weight: StoredWeight, rows: int) -> _Operands | None:
    matrix = block_matrix(weight, rows=rows)
    if matrix is None:
        return None
    zero_point = matrix.packed_zero_point()
    names = (
        editor.constant(matrix.packed(), f"{weight.name}_blocks"),
        editor.constant(matrix.scale, f"{weight.name}_block_scale"),
        "" if zero_point is None else editor.constant(zero_point, f"{weight.name}_block_zero_point"),
    )
    outputs, inputs = matrix.integers.shape
    return _Operands(names, outputs, inputs, matrix.bits, matrix.block)


def _use(editor: GraphEditor, node: onnx.NodeProto, operands: _Operands) -> None:
    """Make a MatMulNBits of a node, in its place and under its name."""
    import onnx.helper

    bias = node.input[2] if len(node.input) > 2 else ""
    inputs = [node.input[0], *operands.names, "", bias]
    while not inputs[-1]:
        inputs.pop()
    editor.redirect(node, 1, inputs[1])
    del node.input[:]
    node.input.extend(inputs)
    node.op_type, node.domain = "MatMulNBits", MICROSOFT
    del node.attribute[:]
    attributes = {
        "K": operands.inputs,
        "N": operands.outputs,
        "bits": operands.bits,
        "block_size": operands.block,
        "accuracy_level": _INT8_ACTIVATIONS,
    }
    node.attribute.extend(onnx.helper.make_attribute(name, value) for name, value in attributes.items())
