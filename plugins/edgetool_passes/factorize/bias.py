"""Where a node has its bias, which can take back what lower rank does to the mean of its results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool.qdq.editor import GraphEditor
from edgetool.qdq.index import GraphIndex
from edgetool_passes.factorize.layers import Layer

if TYPE_CHECKING:
    import numpy as np
    import onnx

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Bias:
    """A stored vector that is added to a node's result.

    Attributes:
        node: that adds it.
        place: among its inputs.
        values: float32, broadcast to the columns; zero where there is none yet.
    """

    node: onnx.NodeProto
    place: int
    values: Array

    def shift(self, editor: GraphEditor, by: Array) -> None:
        """Add a vector to what it was at first."""
        self.set(editor, self.values + by)

    def set(self, editor: GraphEditor, values: Array) -> None:
        """Replace it."""
        import numpy as np

        name = editor.constant(values.astype(np.float32), f"{self.node.output[0]}_bias")
        if self.place < len(self.node.input):
            editor.redirect(self.node, self.place, name)
        else:
            self.node.input.append(name)


def bias_of(layer: Layer, index: GraphIndex) -> Bias | None:
    """The bias of a layer that is read by one node; None where none can be had for nothing."""
    import numpy as np

    if len(layer.nodes) != 1:
        return None
    (node,) = layer.nodes
    _, columns = layer.forms[0].sides
    match node.op_type:
        case "Conv":
            return _own(node, index, columns=layer.shape[0])
        case "Gemm":
            scaled = any(entry.f != 1 for entry in node.attribute if entry.name in ("alpha", "beta"))
            return None if scaled else _own(node, index, columns=columns)
        case "MatMul":
            reader = index.only_reader(node.output[0])
            if reader is None or reader.op_type != "Add" or reader.input[0] == reader.input[1]:
                return None
            place = 1 if reader.input[0] == node.output[0] else 0
            values = index.constant(reader.input[place])
            fits = values is not None and values.dtype == np.float32 and values.shape == (columns,)
            return Bias(reader, place, values) if fits and values is not None else None
    return None


def _own(node: onnx.NodeProto, index: GraphIndex, *, columns: int) -> Bias | None:
    """The third input of Conv and Gemm; zeros may be put there where it is missing."""
    import numpy as np

    if len(node.input) < 3:
        return Bias(node, 2, np.zeros(columns, np.float32))
    values = index.constant(node.input[2]) if node.input[2] else np.zeros(columns, np.float32)
    return Bias(node, 2, values) if values is not None and values.shape == (columns,) else None
