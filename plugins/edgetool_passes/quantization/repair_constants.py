"""Repairs what a quantized network stores: biases and single numbers become float, weights symmetric int8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool.qdq.editor import GraphEditor
from edgetool.qdq.index import GraphIndex, attribute
from edgetool_passes.quantization.repair_spelling import DEQUANTIZE, QUANTIZE

if TYPE_CHECKING:
    import numpy as np
    import onnx

_EIGHT_BITS = ("int8", "uint8")


@dataclass(frozen=True, slots=True)
class Weights:
    """Names of the integer tensors that were centered: with the same meaning, or rounded to wider steps."""

    exact: tuple[str, ...]
    rounded: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Stored:
    """Integers in the model, and the DequantizeLinear that reads them.

    Attributes:
        node: the DequantizeLinear.
        integers: what it reads.
        scale: as it is stored: one value, or one a channel.
        zero_point: of the scale's shape; zeros where the node has none.
    """

    node: onnx.NodeProto
    integers: np.ndarray[Any, Any]
    scale: np.ndarray[Any, Any]
    zero_point: np.ndarray[Any, Any]

    def spread(self, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Values of the scale's shape, so that they broadcast with the integers."""
        if values.size == 1:
            return values.reshape(())
        shape = [1] * self.integers.ndim
        shape[attribute(self.node, "axis", 1)] = -1
        return values.reshape(shape)

    def centered(self) -> np.ndarray[Any, Any]:
        """int64: the integers less their zero points."""
        import numpy as np

        found: np.ndarray[Any, Any] = np.subtract(self.integers, self.spread(self.zero_point), dtype=np.int64)
        return found


@dataclass(frozen=True, slots=True)
class Floats:
    """Names of the tensors that are stored as floats: biases, and single numbers."""

    biases: tuple[str, ...]
    scalars: tuple[str, ...]


def fold_floats(graph: onnx.GraphProto) -> Floats:
    """Store dequantized int32 as the floats that they stand for, `integers * scale`, in the scale's type.

    So are integers of 8 bits without any axis: they save nothing, and runtimes fold or refuse them.

    Args:
        graph: edited in place.
    """
    index = GraphIndex(graph)
    editor = GraphEditor(graph)
    biases: list[str] = []
    scalars: list[str] = []
    for node in list(graph.node):
        stored = _stored(node, index, ("int32", *_EIGHT_BITS))
        is_bias = stored is not None and stored.integers.dtype.name == "int32"
        if stored is not None and (is_bias or not stored.integers.ndim):
            values = stored.centered() * stored.spread(stored.scale).astype(float)
            name = _replace(editor, node, values.astype(stored.scale.dtype))
            (biases if is_bias else scalars).append(name)
    editor.commit()
    return Floats(tuple(biases), tuple(scalars))


def store_quantized(graph: onnx.GraphProto) -> None:
    """Store the integers of constants that are quantized while the model runs, where their form is to be repaired.

    Formula (ONNX, QuantizeLinear): `clip(round_half_to_even(x / scale) + zero_point)`.

    Args:
        graph: edited in place.
    """
    import numpy as np

    index = GraphIndex(graph)
    editor = GraphEditor(graph)
    for node in list(graph.node):
        values = index.constant(node.input[0]) if node.op_type == QUANTIZE and len(node.input) == 3 else None
        scale, zero_point = (index.constant(name) for name in node.input[1:3]) if values is not None else (None, None)
        if values is None or scale is None or zero_point is None or not _is_off_center(zero_point):
            continue
        grid = Stored(node, values, scale, zero_point)
        limits = np.iinfo(zero_point.dtype)
        rounded = np.rint(values / grid.spread(scale)) + grid.spread(zero_point)
        _replace(editor, node, np.clip(rounded, limits.min, limits.max).astype(zero_point.dtype))
    editor.commit()


def center_weights(graph: onnx.GraphProto) -> Weights:
    """Move stored integers of 8 bits to symmetric int8.

    Where all of them fit around zero their meaning stays exactly. Where not, the steps of their channel become wider,
    just enough for the largest, and the integers are rounded to the nearest.

    Args:
        graph: edited in place.
    """
    index = GraphIndex(graph)
    editor = GraphEditor(graph)
    exact: list[str] = []
    rounded: list[str] = []
    made: dict[tuple[str, ...], tuple[str, str, str]] = {}
    for node in list(graph.node):
        stored = _stored(node, index, _EIGHT_BITS)
        if stored is None or not (_is_off_center(stored.zero_point) or stored.integers.dtype.name == "uint8"):
            continue
        key = (*node.input, str(attribute(node, "axis", 1)))
        if key not in made:
            name = node.input[0]
            made[key], fits = _center(stored, editor, name)
            (exact if fits else rounded).append(name)
        _read(editor, node, made[key])
    editor.commit()
    return Weights(tuple(dict.fromkeys(exact)), tuple(dict.fromkeys(rounded)))


def _center(stored: Stored, editor: GraphEditor, name: str) -> tuple[tuple[str, str, str], bool]:
    """Names of the new integers, scale and zero point, and whether they mean exactly what the old ones did."""
    import numpy as np

    integers = stored.centered()
    axis = attribute(stored.node, "axis", 1)
    others = None if stored.scale.size == 1 else tuple(i for i in range(integers.ndim) if i != axis % integers.ndim)
    fits = (integers.min(axis=others, initial=0) >= -128) & (integers.max(axis=others, initial=0) <= 127)
    largest = np.abs(integers).max(axis=others, initial=1)
    growth = np.where(fits, 1.0, largest / 127).reshape(stored.scale.shape)
    centered = np.rint(integers / stored.spread(growth)).astype(np.int8)
    scale = (stored.scale.astype(np.float64) * growth).astype(stored.scale.dtype)
    names = (
        editor.constant(centered, f"{name}_int8"),
        editor.constant(scale, f"{name}_scale"),
        editor.constant(np.zeros(scale.shape, np.int8), f"{name}_zero_point"),
    )
    return names, bool(fits.all())


def _read(editor: GraphEditor, node: onnx.NodeProto, names: tuple[str, str, str]) -> None:
    if len(node.input) == 2:
        node.input.append("")
    for position, name in enumerate(names):
        editor.redirect(node, position, name)


def _stored(node: onnx.NodeProto, index: GraphIndex, dtypes: tuple[str, ...]) -> Stored | None:
    """What a DequantizeLinear reads, if the model stores it in one of these types, and not in blocks."""
    import numpy as np

    if node.op_type != DEQUANTIZE or attribute(node, "block_size", 0):
        return None
    integers, scale = index.constant(node.input[0]), index.constant(node.input[1])
    if integers is None or scale is None or integers.dtype.name not in dtypes:
        return None
    if len(node.input) < 3 or not node.input[2]:
        return Stored(node, integers, scale, np.zeros(scale.shape, integers.dtype))
    zero_point = index.constant(node.input[2])
    return None if zero_point is None else Stored(node, integers, scale, zero_point)


def _is_off_center(zero_point: np.ndarray[Any, Any]) -> bool:
    """Whether integers with this zero point are anything else than symmetric int8, though of 8 bits."""
    return zero_point.dtype.name == "uint8" or (zero_point.dtype.name == "int8" and bool(zero_point.any()))


def _replace(editor: GraphEditor, node: onnx.NodeProto, values: np.ndarray[Any, Any]) -> str:
    """Store what a node computes, under the name of its output."""
    from onnx import numpy_helper

    name = str(node.output[0])
    editor.retire(node)
    editor.graph.initializer.append(numpy_helper.from_array(values, name))
    return name
