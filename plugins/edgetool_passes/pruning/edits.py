"""What has to change in nodes, besides their weights, when channels go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from edgetool.qdq.editor import GraphEditor
from edgetool.qdq.index import GraphIndex

if TYPE_CHECKING:
    import numpy as np
    import onnx

    Array = np.ndarray[Any, Any]

Kept: TypeAlias = "Callable[[Array], Array]"
"""Positions -> which of them stay, bool of the same shape."""


class Edit(Protocol):
    """One change of one node."""

    def apply(self, editor: GraphEditor, kept: Kept) -> None:
        """Change the node in place."""
        ...


@dataclass(frozen=True, eq=False)
class Groups:
    """The number of groups of a convolution.

    Attributes:
        node: it.
        firsts: one position for each group.
    """

    node: onnx.NodeProto
    firsts: Array

    def apply(self, editor: GraphEditor, kept: Kept) -> None:
        for entry in self.node.attribute:
            if entry.name == "group":
                entry.i = int(kept(self.firsts).sum())


@dataclass(frozen=True, eq=False)
class ShapeEntry:
    """A size in the shape that a node is given as an input.

    Attributes:
        node: Reshape, Expand or Resize.
        place: of the shape among its inputs.
        piece: which input of the Concat that joins the shape; None where the shape is constant as a whole.
        entry: which number of the piece, or of the whole.
        axis: the positions that it counts.
    """

    node: onnx.NodeProto
    place: int
    piece: int | None
    entry: int
    axis: Array

    def apply(self, editor: GraphEditor, kept: Kept) -> None:
        mask = kept(self.axis)
        if mask.all():
            return
        name = self.node.input[self.place]
        index = GraphIndex(editor.graph)  # an edit before this one may have replaced the shape
        if self.piece is None:
            editor.redirect(self.node, self.place, self._replaced(editor, index, name, mask))
            return
        pieces = list(index.producers[name].input)
        pieces[self.piece] = self._replaced(editor, index, pieces[self.piece], mask)
        editor.redirect(self.node, self.place, editor.node("Concat", pieces, name, axis=0))

    def _replaced(self, editor: GraphEditor, index: GraphIndex, name: str, mask: Array) -> str:
        values = index.constant(name)
        assert values is not None, "only constant numbers are edited"
        changed = values.copy()
        if changed[self.entry] > 0:  # 0 and -1 already mean "as many as there are"
            changed[self.entry] = int(mask.sum())
        return editor.constant(changed, name)


@dataclass(frozen=True, eq=False)
class SplitSizes:
    """The sizes of the parts of a Split.

    Attributes:
        node: it.
        parts: the positions of each part.
    """

    node: onnx.NodeProto
    parts: tuple[Array, ...]

    def apply(self, editor: GraphEditor, kept: Kept) -> None:
        import numpy as np

        masks = [kept(part) for part in self.parts]
        if all(mask.all() for mask in masks):
            return
        sizes = [int(mask.sum()) for mask in masks]
        for number in reversed(range(len(self.node.attribute))):
            entry = self.node.attribute[number]
            if entry.name == "num_outputs":
                del self.node.attribute[number]
            elif entry.name == "split":  # an attribute up to opset 12
                entry.ints[:] = sizes
                return
        stored = editor.constant(np.array(sizes, np.int64), f"{self.node.output[0]}_sizes")
        if len(self.node.input) > 1:
            editor.redirect(self.node, 1, stored)
        else:
            self.node.input.append(stored)


@dataclass(frozen=True, eq=False)
class SliceBounds:
    """Start and end of a Slice along an axis whose positions go.

    Attributes:
        node: it; its bounds are constants and its step is 1.
        entry: which of its starts and ends.
        before: the positions in front of the slice.
        inside: the positions that it takes.
    """

    node: onnx.NodeProto
    entry: int
    before: Array
    inside: Array

    def apply(self, editor: GraphEditor, kept: Kept) -> None:
        start = int(kept(self.before).sum())
        bounds = (start, start + int(kept(self.inside).sum()))
        index = GraphIndex(editor.graph)
        for place, bound in zip((1, 2), bounds, strict=True):
            name = self.node.input[place]
            values = index.constant(name)
            assert values is not None, "only slices with constant bounds are edited"
            changed = values.copy()
            changed[self.entry] = bound
            editor.redirect(self.node, place, editor.constant(changed, name))


@dataclass(frozen=True, eq=False)
class Picks:
    """The indices of a Gather that picks channels.

    Attributes:
        node: it; its indices are a constant vector.
        axis: the positions that it picks from.
        indices: which of them, none negative.
    """

    node: onnx.NodeProto
    axis: Array
    indices: Array

    def apply(self, editor: GraphEditor, kept: Kept) -> None:
        import numpy as np

        mask = kept(self.axis)
        renumbered = np.cumsum(mask) - 1
        picked = renumbered[self.indices[mask[self.indices]]].astype(np.int64)
        editor.redirect(self.node, 1, editor.constant(picked, self.node.input[1]))
