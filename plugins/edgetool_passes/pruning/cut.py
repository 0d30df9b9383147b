"""Takes units out of a graph: out of every stored tensor that holds them, and out of the nodes that count them."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from edgetool.qdq.editor import GraphEditor
from edgetool_passes.pruning.edits import Kept
from edgetool_passes.pruning.groups import Dependencies
from edgetool_passes.pruning.trace import Axes

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


def cut(dependencies: Dependencies, removed: Collection[int]) -> dict[str, tuple[int, ...]]:
    """Remove the units from the traced graph, in place. The dependencies describe the graph before.

    Returns:
        The shapes that tensors have to have now, as far as they were known.
    """
    import numpy as np
    from onnx import numpy_helper

    trace = dependencies.trace
    gone = np.array(sorted(removed), np.int64)

    def kept(positions: Array) -> Array:
        return ~np.isin(trace.coordinates.units(positions), gone)

    for name, axes in trace.stored().items():
        masks = [None if axis is None else kept(axis) for axis in axes]
        if all(mask is None or mask.all() for mask in masks):
            continue
        values = trace.index.values(name)
        for place, mask in enumerate(masks):
            if mask is not None:
                values = np.compress(mask, values, axis=place)
        trace.index.initializers[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), name))
    editor = GraphEditor(trace.graph)
    for edit in trace.edits:
        edit.apply(editor, kept)
    editor.commit()
    trace.graph.ClearField("value_info")
    return {name: _shape(trace.axes(name), shape, kept) for name, shape in trace.shapes.items()}


def _shape(axes: Axes | None, shape: tuple[int, ...], kept: Kept) -> tuple[int, ...]:
    if axes is None:
        return shape
    return tuple(size if axis is None else int(kept(axis).sum()) for axis, size in zip(axes, shape, strict=True))
