"""Takes blocks out of a graph: what read their end reads their start, or a correction of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool.qdq.editor import GraphEditor
from edgetool.qdq.index import GraphIndex
from edgetool_passes.blocks.stacks import Block

if TYPE_CHECKING:
    import numpy as np
    import onnx

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Gap:
    """Blocks next to each other that go together.

    Attributes:
        blocks: their numbers.
        start: the tensor that stays.
        end: the tensor that goes, and that it stands for.
        channels_first: as of the blocks.
    """

    blocks: tuple[int, ...]
    start: str
    end: str
    channels_first: bool


@dataclass(frozen=True, eq=False)
class Correction:
    """What makes a gap's start like its end: `y = x A + b` over the channels.

    Attributes:
        matrix: [channels, channels]; or [channels], one factor each.
        shift: [channels].
    """

    matrix: Array
    shift: Array


def gaps(blocks: Sequence[Block], removed: frozenset[int]) -> Iterator[Gap]:
    """The gaps that removing these blocks leaves, in the order of the stacks."""
    run: list[Block] = []
    for block in blocks:
        joins = bool(run) and run[-1].end == block.start
        if run and (block.number not in removed or not joins):
            yield _gap(run)
            run = []
        if block.number in removed:
            run.append(block)
    if run:
        yield _gap(run)


def _gap(run: Sequence[Block]) -> Gap:
    numbers = tuple(block.number for block in run)
    return Gap(numbers, run[0].start, run[-1].end, any(block.channels_first for block in run))


def bridge(graph: onnx.GraphProto, gap: Gap, correction: Correction | None = None) -> bool:
    """Let the readers of a gap's end read its start, corrected.

    Returns:
        Whether the correction vanished in a normalisation in front of the gap, and so costs nothing.
    """
    index = GraphIndex(graph)
    readers = [
        (node, place)
        for node in index.readers.get(gap.end, [])
        for place, name in enumerate(node.input)
        if name == gap.end
    ]
    editor = GraphEditor(graph)
    folded = correction is not None and correction.matrix.ndim == 1 and _fold(editor, index, gap, correction)
    source = gap.start if correction is None or folded else _corrected(editor, gap, correction)
    if gap.end in index.outside:
        editor.retire(index.producers[gap.end])
        editor.node_named("Identity", [source], gap.end)
    else:
        for node, place in readers:
            editor.redirect(node, place, source)
    editor.commit()
    _forget_types(graph)
    return folded


def _corrected(editor: GraphEditor, gap: Gap, correction: Correction) -> str:
    """Nodes that compute the correction; the name of their result."""
    import numpy as np

    matrix, shift = correction.matrix.astype(np.float32), correction.shift.astype(np.float32)
    wish = f"{gap.start}_for_{'_'.join(map(str, gap.blocks))}"
    if gap.channels_first:
        behind = (1, 1)
        if matrix.ndim == 2:
            weight = editor.constant(np.ascontiguousarray(matrix.T).reshape(*matrix.T.shape, *behind), f"{wish}_weight")
            return editor.node("Conv", [gap.start, weight, editor.constant(shift, f"{wish}_bias")], f"{wish}_corrected")
        matrix, shift = matrix.reshape(-1, *behind), shift.reshape(-1, *behind)
    operator = "MatMul" if matrix.ndim == 2 else "Mul"
    scaled = editor.node(operator, [gap.start, editor.constant(matrix, f"{wish}_factor")], f"{wish}_scaled")
    return editor.node("Add", [scaled, editor.constant(shift, f"{wish}_shift")], f"{wish}_corrected")


def _fold(editor: GraphEditor, index: GraphIndex, gap: Gap, correction: Correction) -> bool:
    """Put factors and shifts into the LayerNormalization that computes the gap's start, if one does and has both.

    Everything that reads the start is inside the gap, or is about to read its corrected form.
    """
    import numpy as np

    norm = index.producers.get(gap.start)
    if norm is None or norm.op_type != "LayerNormalization" or len(norm.input) < 3 or gap.start in index.outside:
        return False
    scale, bias = (index.initializers.get(name) for name in norm.input[1:3])
    if scale is None or bias is None or list(scale.dims) != [len(correction.shift)]:
        return False
    old_scale, old_bias = (index.values(name).astype(np.float64) for name in norm.input[1:3])
    new = (old_scale * correction.matrix, old_bias * correction.matrix + correction.shift)
    for place, values in enumerate(new, start=1):
        editor.redirect(norm, place, editor.constant(values.astype(np.float32), norm.input[place]))
    return True


def _forget_types(graph: onnx.GraphProto) -> None:
    """Drop what the file says of tensors that are gone."""
    alive = {name for node in graph.node for name in node.output}
    for place in reversed(range(len(graph.value_info))):
        if graph.value_info[place].name not in alive:
            del graph.value_info[place]
