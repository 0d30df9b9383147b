"""How operators that move, cut and join axes carry channels along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgetool.qdq.index import attribute
from edgetool_passes.pruning.edits import Picks, ShapeEntry, SliceBounds, SplitSizes
from edgetool_passes.pruning.reshaping import reshaped
from edgetool_passes.pruning.trace import Axis, Rule, Trace

if TYPE_CHECKING:
    import numpy as np
    import onnx

    Array = np.ndarray[Any, Any]

_UNKNOWN = "its shape could not be inferred; put `simplify` first"


def _reshape(trace: Trace, node: onnx.NodeProto) -> None:
    _change_shape(trace, node)
    _count_in_shape(trace, node, 1)


def _change_shape(trace: Trace, node: onnx.NodeProto) -> None:
    axes, shapes = trace.axes(node.input[0]), trace.shapes
    before, after = shapes.get(node.input[0]), shapes.get(node.output[0])
    if axes is None or before is None or after is None or 0 in before:
        trace.give_up(node, _UNKNOWN)
        return
    trace.put(node.output[0], reshaped(trace, node, axes, before, after))


def _count_in_shape(trace: Trace, node: onnx.NodeProto, place: int) -> None:
    """Where the node is told its result's shape, the numbers of channels in it have to follow."""
    for entry, axis in enumerate(trace.axes(node.output[0]) or ()):
        if axis is None:
            continue
        found = _find(trace, node.input[place], entry)
        if found is not None:
            trace.edits.append(ShapeEntry(node, place, *found, axis))
        else:
            trace.pin_axis(axis, f"the shape that {trace.label(node)} makes is computed; put `simplify` first")


def _find(trace: Trace, name: str, entry: int) -> tuple[int | None, int] | None:
    """Where a number of a shape is written: in which piece of a joined shape (None: it is one constant), and where."""
    if trace.index.constant(name) is not None:
        return None, entry
    producer = trace.index.producers.get(name)
    if producer is None or producer.op_type != "Concat":
        return None
    start = 0
    for number, piece in enumerate(producer.input):
        length = trace.size(piece, 0)
        if length is None:
            return None
        if start <= entry < start + length:
            return None if trace.index.constant(piece) is None else (number, entry - start)
        start += length
    return None


def _transpose(trace: Trace, node: onnx.NodeProto) -> None:
    axes = trace.axes(node.input[0])
    if axes is None:
        trace.give_up(node, _UNKNOWN)
        return
    given = next((list(entry.ints) for entry in node.attribute if entry.name == "perm"), None)
    order = given if given is not None else list(reversed(range(len(axes))))
    trace.put(node.output[0], tuple(axes[place] for place in order))


def _concat(trace: Trace, node: onnx.NodeProto) -> None:
    import numpy as np

    operands = [trace.axes(name) for name in node.input]
    ranks = {len(axes) for axes in operands if axes is not None}
    if None in operands or len(ranks) != 1:
        trace.give_up(node, _UNKNOWN)
        return
    (rank,) = ranks
    joined = attribute(node, "axis", 0) % rank
    result: list[Axis] = []
    for place in range(rank):
        if place != joined:
            line = [(name, place - rank) for name in node.input]
            result.append(trace.meet(line, f"{trace.label(node)} lines them up with others"))
            continue
        parts = [axes[place] for axes in operands if axes is not None]
        sizes = [trace.size(name, place) for name in node.input]
        if all(part is None for part in parts):
            result.append(None)
        elif None in sizes:
            for part in parts:
                trace.pin_axis(part, f"{trace.label(node)} joins them with a part of unknown size")
            result.append(None)
        else:
            result.append(
                np.concatenate(
                    [
                        part if part is not None else _fixed(trace, size or 0)
                        for part, size in zip(parts, sizes, strict=True)
                    ]
                )
            )
    trace.put(node.output[0], tuple(result))


def _fixed(trace: Trace, size: int) -> Array:
    positions = trace.coordinates.fresh(size)
    trace.pin_axis(positions, "they come from outside")
    return positions


def _split(trace: Trace, node: onnx.NodeProto) -> None:
    import numpy as np

    axes = trace.axes(node.input[0])
    if axes is None:
        trace.give_up(node, _UNKNOWN)
        return
    place = attribute(node, "axis", 0) % len(axes)
    whole = axes[place]
    if whole is None:
        for name in node.output:
            trace.put(name, axes)
        return
    shapes = [trace.shapes.get(name) for name in node.output]
    given = trace.index.constant(node.input[1]) if len(node.input) > 1 else ()
    if None in shapes or given is None:
        trace.give_up(node, _UNKNOWN)
        return
    sizes = [shape[place] for shape in shapes if shape is not None]
    parts = tuple(np.split(whole, np.cumsum(sizes)[:-1]))
    for name, part in zip(node.output, parts, strict=True):
        trace.put(name, (*axes[:place], part, *axes[place + 1 :]))
    trace.edits.append(SplitSizes(node, parts))


def _slice(trace: Trace, node: onnx.NodeProto) -> None:
    axes, sizes = trace.axes(node.input[0]), trace.sizes(node.input[0])
    bounds = [trace.index.constant(name) if name else None for name in node.input[1:]]
    if axes is None or len(bounds) < 2:
        trace.give_up(node, _UNKNOWN)
        return
    known = all(values is not None for name, values in zip(node.input[1:], bounds, strict=True) if name)
    if sizes is not None:
        if known and (rows := _rows(bounds, 0, 0, len(sizes))) is not None:
            trace.put_sizes(node.output[0], sizes[rows])
        else:
            _pin_all(trace, sizes, f"{trace.label(node)} looks at their number; put `simplify` first")
            trace.put(node.output[0], (None,))
        return
    if not known:
        trace.give_up(node, "its bounds are computed while the model runs")
        return
    given = bounds[2] if len(bounds) > 2 else None
    along = range(trace.size(node.input[1], 0) or 0) if given is None else given.tolist()
    result = list(axes)
    for entry, place in enumerate(along):
        place %= len(axes)
        axis = axes[place]
        if axis is None:
            continue
        rows = _rows(bounds, entry, place, len(axis))
        if rows is None:
            trace.pin_axis(axis, f"{trace.label(node)} takes some of them in steps")
            result[place] = None
        else:
            result[place] = axis[rows]
            trace.edits.append(SliceBounds(node, entry, axis[: rows.start], axis[rows]))
    trace.put(node.output[0], tuple(result))


def _rows(bounds: Sequence[Array | None], entry: int, place: int, size: int) -> slice | None:
    """What a Slice takes along one axis; None when it does so in steps."""
    starts, ends = bounds[0], bounds[1]
    steps = bounds[3] if len(bounds) > 3 else None
    if starts is None or ends is None or (steps is not None and steps[entry] != 1):
        return None
    start, stop, _ = slice(int(starts[entry]), int(ends[entry])).indices(size)
    return slice(start, max(start, stop))


def pick(trace: Trace, node: onnx.NodeProto) -> None:
    """A Gather that is no embedding: it picks rows, channels or sizes by number."""
    import numpy as np

    axes, sizes = trace.axes(node.input[0]), trace.sizes(node.input[0])
    indices, line = trace.index.constant(node.input[1]), trace.axes(node.input[1])
    if sizes is not None:
        picked = sizes if indices is None else tuple(sizes[one] for one in indices.ravel().tolist())
        _pin_all(trace, picked, f"{trace.label(node)} looks at their number; put `simplify` first")
        trace.put(node.output[0], None if indices is None else (None,) * indices.ndim)
        return
    if axes is None or line is None:
        trace.give_up(node, _UNKNOWN)
        return
    place = attribute(node, "axis", 0) % len(axes)
    axis, taken = axes[place], tuple(None for _ in line)
    if axis is not None and indices is not None and indices.ndim == 1:
        numbers = np.asarray(indices) % len(axis)
        taken = (axis[numbers],)
        trace.edits.append(Picks(node, axis, numbers))
    else:
        trace.pin_axis(axis, f"{trace.label(node)} picks some of them by number")
    trace.put(node.output[0], (*axes[:place], *taken, *axes[place + 1 :]))


def _shape(trace: Trace, node: onnx.NodeProto) -> None:
    axes = trace.axes(node.input[0])
    if axes is None:
        trace.put(node.output[0], (None,))
        return
    start, end = attribute(node, "start", 0), attribute(node, "end", len(axes))
    trace.put_sizes(node.output[0], axes[start:end])


def _expand(trace: Trace, node: onnx.NodeProto) -> None:
    _keep_axes_of_size(trace, node)
    _count_in_shape(trace, node, 1)


def _resize(trace: Trace, node: onnx.NodeProto) -> None:
    _keep_axes_of_size(trace, node)
    if node.op_type == "Resize" and len(node.input) > 3 and node.input[3]:
        _count_in_shape(trace, node, 3)


def _keep_axes_of_size(trace: Trace, node: onnx.NodeProto) -> None:
    """Axes whose length does not change go on; along the others nothing can be removed."""
    axes, after = trace.axes(node.input[0]), trace.shapes.get(node.output[0])
    if axes is None or after is None:
        trace.give_up(node, _UNKNOWN)
        return
    padded: list[Axis] = [None] * (len(after) - len(axes))
    for axis, size in zip(axes, after[len(padded) :], strict=True):
        if axis is not None and len(axis) != size:
            if len(axis) > 1:
                trace.pin_axis(axis, f"{trace.label(node)} changes their number")
            axis = None
        padded.append(axis)
    trace.put(node.output[0], tuple(padded))


def _depth_to_space(trace: Trace, node: onnx.NodeProto) -> None:
    axes = trace.axes(node.input[0])
    if axes is None or len(axes) != 4:
        trace.give_up(node, _UNKNOWN)
        return
    channels = axes[1]
    if channels is not None:
        area = attribute(node, "blocksize", 1) ** 2
        inner = any(entry.s == b"CRD" for entry in node.attribute if entry.name == "mode")
        cells = channels.reshape(-1, area) if inner else channels.reshape(area, -1).T
        for one in cells:
            trace.coordinates.tie_together(one)
        channels = cells[:, 0]
    trace.put(node.output[0], (axes[0], channels, None, None))


def _space_to_depth(trace: Trace, node: onnx.NodeProto) -> None:
    import numpy as np

    axes = trace.axes(node.input[0])
    if axes is None or len(axes) != 4:
        trace.give_up(node, _UNKNOWN)
        return
    area = attribute(node, "blocksize", 1) ** 2
    trace.put(node.output[0], (axes[0], None if axes[1] is None else np.tile(axes[1], area), None, None))


def _pin_all(trace: Trace, axes: Sequence[Axis], reason: str) -> None:
    for axis in axes:
        trace.pin_axis(axis, reason)


RULES: Mapping[str, Rule] = {
    "Concat": _concat,
    "DepthToSpace": _depth_to_space,
    "Expand": _expand,
    "Flatten": _change_shape,
    "Pad": _keep_axes_of_size,
    "Reshape": _reshape,
    "Resize": _resize,
    "Shape": _shape,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _change_shape,
    "Tile": _keep_axes_of_size,
    "Transpose": _transpose,
    "Unsqueeze": _change_shape,
    "Upsample": _resize,
}
