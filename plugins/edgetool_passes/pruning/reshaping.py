"""What a change of shape does to the axes of a tensor."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from edgetool_passes.pruning.trace import Axes, Axis, Trace

if TYPE_CHECKING:
    import numpy as np
    import onnx

    Array = np.ndarray[Any, Any]

_STACK = 3
"""A first factor up to this is a stack (queries, keys and values; two halves to shuffle), not what to remove from."""
_ON_THE_WAY = frozenset(
    {"Add", "Concat", "Div", "Gather", "Identity", "Mul", "Neg", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"}
)
"""What happens to queries and keys between the split into heads and their product."""

_Block = tuple[list[int], list[int]]


def reshaped(
    trace: Trace, node: onnx.NodeProto, axes: Axes, before: Sequence[int], after: Sequence[int]
) -> tuple[Axis, ...]:
    """The axes of the result of a node that reshapes its first input, of concrete shapes.

    Axes that are merged or split are worked out by position. Where one axis becomes several, removal must leave a box:
    whole slices along one of the new axes are tied together; see `_chosen`.
    """
    label = trace.label(node)
    result: list[Axis] = [None] * len(after)
    for sources, targets in _blocks(before, after):
        tracked = [place for place in sources if axes[place] is not None and before[place] > 1]
        wide_in = [place for place in sources if before[place] > 1]
        wide_out = [place for place in targets if after[place] > 1]
        if not tracked:
            continue
        positions = axes[tracked[0]]
        assert positions is not None, "tracked axes are those that have positions"
        if len(tracked) > 1 or (len(wide_in) > 1 and len(wide_out) > 1):
            for place in tracked:
                trace.pin_axis(axes[place], f"{label} mixes them with another axis")
        elif len(wide_out) == 1:
            result[wide_out[0]] = _merged(positions, wide_in.index(tracked[0]), [before[place] for place in wide_in])
        else:
            sizes = [after[place] for place in wide_out]
            chosen = _chosen(sizes, attention=_is_multiplied(trace, node.output[0]))
            result[wide_out[chosen]] = _split(trace, positions, chosen, sizes)
    return tuple(result)


def _blocks(before: Sequence[int], after: Sequence[int]) -> Iterator[_Block]:
    """Runs of axes on both sides that hold the same number of elements, as short as possible."""
    i = j = 0
    while i < len(before) and j < len(after):
        sources, targets = [i], [j]
        while (left := math.prod(before[k] for k in sources)) != (right := math.prod(after[k] for k in targets)):
            if left < right:
                i += 1
                sources.append(i)
            else:
                j += 1
                targets.append(j)
        i, j = i + 1, j + 1
        yield sources, targets


def _merged(positions: Array, place: int, sizes: Sequence[int]) -> Array:
    """Every position once for each element of the other axes."""
    import numpy as np

    shape = [len(positions) if number == place else 1 for number in range(len(sizes))]
    return np.broadcast_to(positions.reshape(shape), sizes).ravel()


def _chosen(sizes: Sequence[int], *, attention: bool) -> int:
    """Along which of the new axes to remove: heads where there are heads, else the first that is more than a stack."""
    if attention:
        return 1 if len(sizes) > 2 and sizes[0] == _STACK else 0
    return next((number for number, size in enumerate(sizes) if size > _STACK), 0)


def _is_multiplied(trace: Trace, tensor: str) -> bool:
    """Whether a tensor ends in a product of two activations."""
    seen: set[str] = set()
    waiting = [tensor]
    while waiting:
        name = waiting.pop()
        for reader in trace.index.readers.get(name, ()):
            if reader.op_type == "MatMul" and trace.index.moving.issuperset(reader.input):
                return True
            if reader.op_type in _ON_THE_WAY:
                waiting += [output for output in reader.output if output not in seen]
                seen.update(reader.output)
    return False


def _split(trace: Trace, positions: Array, chosen: int, sizes: Sequence[int]) -> Array:
    import numpy as np

    slices = np.moveaxis(positions.reshape(sizes), chosen, 0).reshape(sizes[chosen], -1)
    for one in slices:
        trace.coordinates.tie_together(one)
    firsts: Array = slices[:, 0]
    return firsts
