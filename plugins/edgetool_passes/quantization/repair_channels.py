"""Repairs activations with a grid for each channel: each of them symmetric int8."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool.qdq.editor import GraphEditor
from edgetool.qdq.index import GraphIndex, attribute
from edgetool.qdq.sign import nonnegative_tensors
from edgetool_passes.quantization.repair_activations import Activations
from edgetool_passes.quantization.repair_spelling import DEQUANTIZE, QUANTIZE

if TYPE_CHECKING:
    import numpy as np
    import onnx

_EIGHT_BITS = ("int8", "uint8")


@dataclass(frozen=True, eq=False)
class Channels:
    """A QuantizeLinear with constant scales, and the DequantizeLinear nodes that undo it.

    Attributes:
        nodes: the QuantizeLinear, and all readers of what it makes.
        scale: one a channel.
        zero_point: of the scale's shape.
    """

    nodes: tuple[onnx.NodeProto, ...]
    scale: np.ndarray[Any, Any]
    zero_point: np.ndarray[Any, Any]

    @property
    def tensor(self) -> str:
        """The float tensor that is quantized."""
        return str(self.nodes[0].input[0])

    @property
    def is_exact(self) -> bool:
        """Whether the integers lie around 128, so that shifting them changes nothing."""
        return self.zero_point.dtype.name == "uint8" and bool((self.zero_point == 128).all())

    def reach(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """The smallest and the largest value that the grid of each channel can express."""
        import numpy as np

        limits = np.iinfo(self.zero_point.dtype)
        scale, zero = self.scale.astype(np.float64), self.zero_point.astype(np.int64)
        return (limits.min - zero) * scale, (limits.max - zero) * scale


def center_channels(graph: onnx.GraphProto, *, both_ends: bool) -> Activations:
    """Give every channel of an activation a symmetric int8 grid that covers its old range.

    As `center_activations` does for one grid: `scale = max(-low, high) / 127`, and a Relu in front where the range of
    every channel ends at zero. Where those of some channels do, what was calibrated happened to, and no Relu was taken
    away. A pair whose other ends would have to be kept is left as it is: no single node clips every channel elsewhere.

    Args:
        graph: edited in place.
        both_ends: keep clipping at both ends.
    """
    import numpy as np

    editor = GraphEditor(graph)
    nonnegative = nonnegative_tensors(graph)
    exact: list[str] = []
    rectified: list[str] = []
    widened: dict[str, float] = {}
    for pair in list(_pairs(graph)):
        scale, rectify = pair.scale.astype(np.float64), False
        if pair.is_exact:
            exact.append(pair.tensor)
        else:
            low, high = pair.reach()
            if both_ends or not high.any():
                continue
            scale = np.maximum(-low, high) / 127
            widened[pair.tensor] = round(float((scale / pair.scale).max()), 4)
            rectify = not low.any() and pair.tensor not in nonnegative
            rectified += [pair.tensor] * rectify
        _requantize(editor, pair, scale.astype(pair.scale.dtype), rectify=rectify)
    editor.commit()
    return Activations(tuple(exact), widened, tuple(rectified))


def _pairs(graph: onnx.GraphProto) -> Iterator[Channels]:
    """Those of 8 bits that are not symmetric int8 already, and whose meaning can be changed in one place."""
    index = GraphIndex(graph)
    for node in graph.node:
        if node.op_type != QUANTIZE or len(node.input) < 3 or index.constant(node.input[0]) is not None:
            continue
        scale, zero_point = index.constant(node.input[1]), index.constant(node.input[2])
        if (
            scale is None
            or zero_point is None
            or scale.ndim != 1
            or scale.size == 1
            or attribute(node, "block_size", 0)
        ):
            continue
        if zero_point.dtype.name not in _EIGHT_BITS or (zero_point.dtype.name == "int8" and not zero_point.any()):
            continue
        readers = index.readers.get(node.output[0], [])
        if readers and node.output[0] not in index.outside and all(_undoes(one, node, index) for one in readers):
            yield Channels((node, *readers), scale, zero_point)


def _undoes(reader: onnx.NodeProto, node: onnx.NodeProto, index: GraphIndex) -> bool:
    """Whether a node dequantizes with the very grids that another quantized with."""
    if reader.op_type != DEQUANTIZE or len(reader.input) < 3 or attribute(reader, "block_size", 0):
        return False
    if attribute(reader, "axis", 1) != attribute(node, "axis", 1):
        return False
    for position in (1, 2):
        one, other = index.constant(reader.input[position]), index.constant(node.input[position])
        if one is None or other is None or one.dtype != other.dtype or one.shape != other.shape or (one != other).any():
            return False
    return True


def _requantize(editor: GraphEditor, pair: Channels, scale: np.ndarray[Any, Any], *, rectify: bool) -> None:
    import numpy as np

    names = (
        editor.constant(scale, f"{pair.tensor}_scales"),
        editor.constant(np.zeros(scale.shape, np.int8), f"{pair.tensor}_zero_points"),
    )
    for node in pair.nodes:
        for position, name in enumerate(names, start=1):
            editor.redirect(node, position, name)
        for stated in [one for one in node.attribute if one.name == "output_dtype" and node is pair.nodes[0]]:
            node.attribute.remove(stated)  # the zero point's type decides
    if rectify:
        editor.redirect(pair.nodes[0], 0, editor.node("Relu", (pair.tensor,), f"{pair.tensor}_rectified"))
    quantized = pair.nodes[0].output[0]
    for value in [value for value in editor.graph.value_info if value.name == quantized]:
        editor.graph.value_info.remove(value)
