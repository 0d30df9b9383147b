"""Finds the Q/DQ pairs on activations, and changes what they are quantized to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from edgetool.qdq.editor import GraphEditor
from edgetool.qdq.index import GraphIndex

if TYPE_CHECKING:
    import numpy as np
    import onnx


@dataclass(frozen=True, slots=True)
class Grid:
    """What integers mean.

    Attributes:
        scale: name of the constant that holds the step from one integer to the next.
        zero_point: name of the constant that holds the integer for zero.
        step: the value of `scale`.
    """

    scale: str
    zero_point: str
    step: float


@dataclass(frozen=True, eq=False)
class ActivationPair:
    """A QuantizeLinear with constant per-tensor scale and zero point, and the DequantizeLinear nodes that read it.

    Attributes:
        tensor: the float tensor that is quantized.
        quantize: its QuantizeLinear.
        dequantize: all readers of the quantized tensor.
        scale: one float.
        zero_point: of the type that the tensor is quantized to.
        dtype: of the scale, and with it of the float tensors on both sides: `float32` or one of 16 bits.
    """

    tensor: str
    quantize: onnx.NodeProto
    dequantize: tuple[onnx.NodeProto, ...]
    scale: float
    zero_point: np.integer[Any]
    dtype: str = "float32"

    @property
    def is_symmetric_int8(self) -> bool:
        return self.zero_point.dtype.name == "int8" and int(self.zero_point) == 0

    @property
    def grid(self) -> Grid:
        return Grid(self.quantize.input[1], self.quantize.input[2], self.scale)

    @property
    def output(self) -> str:
        """The float tensor that comes out of the first DequantizeLinear."""
        return str(self.dequantize[0].output[0])


def activation_pairs(graph: onnx.GraphProto) -> tuple[ActivationPair, ...]:
    """All pairs on activations, in the graph's order.

    A quantized tensor that anything else than DequantizeLinear reads, that is a graph output, or whose
    DequantizeLinear uses another scale or zero point, makes no pair: its meaning cannot be changed in one place.
    """
    index = GraphIndex(graph)
    candidates = (_pair(node, index) for node in graph.node if node.op_type == "QuantizeLinear")
    return tuple(pair for pair in candidates if pair is not None)


def _pair(node: onnx.NodeProto, index: GraphIndex) -> ActivationPair | None:
    readers = index.readers.get(node.output[0], [])
    if len(node.input) < 3 or node.output[0] in index.outside or not readers:
        return None
    scale, zero_point = index.constant(node.input[1]), index.constant(node.input[2])
    if scale is None or zero_point is None or scale.size != 1:
        return None
    if not all(_undoes(reader, scale, zero_point, index) for reader in readers):
        return None
    step, integer = scale.reshape(()), zero_point.reshape(-1)[0]
    return ActivationPair(node.input[0], node, tuple(readers), float(step), integer, step.dtype.name)


def _undoes(
    reader: onnx.NodeProto, scale: np.ndarray[Any, Any], zero_point: np.ndarray[Any, Any], index: GraphIndex
) -> bool:
    if reader.op_type != "DequantizeLinear" or len(reader.input) < 3:
        return False
    its_scale, its_zero = index.constant(reader.input[1]), index.constant(reader.input[2])
    if its_scale is None or its_zero is None or its_scale.size != 1:
        return False
    return bool(
        its_scale.reshape(()) == scale.reshape(())
        and its_zero.dtype == zero_point.dtype
        and its_zero.reshape(()) == zero_point.reshape(())
    )


def store_grid(
    editor: GraphEditor, tensor: str, *, scale: float, zero_point: np.integer[Any], dtype: str = "float32"
) -> Grid:
    """Store a per-tensor scale, of the float tensor's dtype, and zero point of a tensor's own."""
    import ml_dtypes
    import numpy as np

    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    return Grid(
        editor.constant(np.array(scale, kind), f"{tensor}_scale"),
        editor.constant(np.array(zero_point), f"{tensor}_zero_point"),
        scale,
    )


def add_pair(editor: GraphEditor, tensor: str, grid: Grid) -> str:
    """Quantize and dequantize a tensor; the name of what comes out. Readers are not changed."""
    quantized = editor.node("QuantizeLinear", (tensor, grid.scale, grid.zero_point), f"{tensor}_quantized")
    return editor.node("DequantizeLinear", (quantized, grid.scale, grid.zero_point), f"{tensor}_dequantized")


def interpose_pair(editor: GraphEditor, tensor: str, grid: Grid) -> None:
    """Quantize and dequantize a tensor for all of its readers, the outside world included."""
    raw = editor.detach(tensor)
    quantized = editor.node("QuantizeLinear", (raw, grid.scale, grid.zero_point), f"{tensor}_quantized")
    editor.node_named("DequantizeLinear", (quantized, grid.scale, grid.zero_point), tensor)


def requantize(editor: GraphEditor, pair: ActivationPair, grid: Grid) -> None:
    """Give a pair another scale and zero point, perhaps of another integer type."""
    for node in (pair.quantize, *pair.dequantize):
        editor.redirect(node, 1, grid.scale)
        editor.redirect(node, 2, grid.zero_point)
    for kept in [a for a in pair.quantize.attribute if a.name == "output_dtype"]:
        pair.quantize.attribute.remove(kept)  # the zero point's type decides
    quantized = pair.quantize.output[0]
    for value in [value for value in editor.graph.value_info if value.name == quantized]:
        editor.graph.value_info.remove(value)


def use_full_range(graph: onnx.GraphProto, dtype: Literal["uint8", "int8"]) -> int:
    """Spend all 256 levels on tensors that cannot be negative; how many pairs were changed.

    A symmetric int8 pair leaves such a tensor 128 levels. Afterwards the scale is 127/255 of what it was and zero lies
    at the smallest integer: the range stays, the steps are half as large, and runtimes can fuse the Relu or Clip in
    front of the pair, because quantizing clips at zero anyway.

    Args:
        graph: edited in place.
        dtype: `uint8` puts the zero point at 0, `int8` at -128.
    """
    import numpy as np

    from edgetool.qdq.sign import nonnegative_tensors

    nonnegative = nonnegative_tensors(graph)
    zero_point = np.uint8(0) if dtype == "uint8" else np.int8(-128)
    editor = GraphEditor(graph)
    count = 0
    for pair in activation_pairs(graph):
        if pair.is_symmetric_int8 and pair.tensor in nonnegative:
            scale = pair.scale * 127 / 255
            grid = store_grid(editor, pair.tensor, scale=scale, zero_point=zero_point, dtype=pair.dtype)
            requantize(editor, pair, grid)
            count += 1
    editor.commit()
    return count
