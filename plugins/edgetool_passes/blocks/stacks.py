"""Finds the stacks of a network: residual blocks that repeat, one behind the other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgetool_passes.blocks.flow import Flow, read_flow
from edgetool_passes.blocks.form import FLOATS, Forms

if TYPE_CHECKING:
    import onnx

_SUMS = frozenset({"Add", "Sum"})


@dataclass(frozen=True, eq=False)
class Block:
    """One of several parts that are alike, around which the data can be led.

    Attributes:
        number: among all blocks of the network, in the order of its stacks.
        stack: number of its stack.
        start: the tensor that comes in; data has no other way past the block.
        end: the tensor that goes out.
        nodes: what is between.
        weights: stored tensors that nothing but this block reads.
        parameters: how many floats they hold.
        watched: tensors inside the block whose shape is asked for outside, which keeps the block from being removed.
    """

    number: int
    stack: int
    start: str
    end: str
    nodes: tuple[onnx.NodeProto, ...]
    weights: frozenset[str]
    parameters: int
    watched: tuple[str, ...]

    @property
    def channels_first(self) -> bool:
        """Whether axis 1 of the stream holds the channels, as convolutions have it; else it is the last."""
        return any(node.op_type == "Conv" for node in self.nodes)


@dataclass(frozen=True, slots=True)
class _Segment:
    """The way from one bottleneck to the next.

    Attributes:
        start: tensor.
        end: tensor.
        nodes: between.
        form: what its likes share.
        residual: whether its start is added to what is computed from it.
    """

    start: str
    end: str
    nodes: tuple[onnx.NodeProto, ...]
    form: str
    residual: bool


def find_blocks(graph: onnx.GraphProto) -> tuple[Block, ...]:
    """All blocks of a network, stack by stack; empty when no residual block repeats.

    A stack begins at a tensor that is read both by a branch and by the Add behind it, and goes on as long as the way to
    the following bottlenecks repeats in the same form.
    """
    flow = read_flow(graph)
    forms = Forms(flow)
    found: list[Block] = []
    stacks, seen = 0, set[str]()
    for tensor in flow.inputs:
        segments = [segment for segment in _segments(flow, forms, tensor) if segment.end not in seen]
        seen.update(segment.end for segment in segments)
        for first, period, count in _repetitions(segments):
            for number in range(count):
                part = segments[first + number * period : first + (number + 1) * period]
                found.append(_block(flow, part, number=len(found), stack=stacks))
            stacks += 1
    return tuple(found)


def _segments(flow: Flow, forms: Forms, tensor: str) -> Iterator[_Segment]:
    cuts = flow.bottlenecks(tensor)
    for start, end in itertools.pairwise(cuts):
        nodes = tuple(flow.between(start, end))
        yield _Segment(start, end, nodes, forms.of(start, nodes, end), _is_residual(flow, start, end, nodes))


def _is_residual(flow: Flow, start: str, end: str, nodes: Sequence[onnx.NodeProto]) -> bool:
    """Whether `start` reaches `end` through sums alone, and something else that is computed from it does, too."""
    waiting, inside = [end], {name for node in nodes for name in node.output}
    passes, adds = False, False
    while waiting:
        node = flow.index.producers.get(waiting.pop())
        if node is None or node.op_type not in _SUMS:
            continue
        passes = passes or start in node.input
        adds = adds or any(name in inside for name in node.input)
        waiting += [name for name in node.input if name in inside]
    return passes and adds


def _repetitions(segments: Sequence[_Segment]) -> Iterator[tuple[int, int, int]]:
    """(first segment, segments of a block, blocks) of every stack."""
    first = 0
    while first < len(segments):
        period, count = _best_repetition(segments, first)
        if count > 1:
            yield first, period, count
        first += max(1, period * count)


def _best_repetition(segments: Sequence[_Segment], first: int) -> tuple[int, int]:
    """The period that covers most segments from `first` on, the shortest of equals; (0, 0) where nothing repeats."""
    best = (0, 0)
    if not segments[first].residual:
        return best
    for period in range(1, (len(segments) - first) // 2 + 1):
        count = 1
        while _alike(segments, first, first + count * period, period):
            count += 1
        if count > 1 and period * count > best[0] * best[1]:
            best = (period, count)
    return best


def _alike(segments: Sequence[_Segment], one: int, other: int, length: int) -> bool:
    if other + length > len(segments):
        return False
    return all(segments[one + step].form == segments[other + step].form for step in range(length))


def _block(flow: Flow, part: Sequence[_Segment], *, number: int, stack: int) -> Block:
    nodes = tuple(node for segment in part for node in segment.nodes)
    mine = {id(node) for node in nodes}
    start, end = part[0].start, part[-1].end
    read = {name for node in nodes for name in node.input if name in flow.index.initializers}
    weights = {
        name for name in read if all(id(reader) in mine for reader in flow.index.readers[name])
    } - flow.index.outside
    inner = [name for node in nodes for name in node.output if name != end]
    watched = [name for name in inner if _is_watched(flow, name, end, mine)]
    return Block(
        number, stack, start, end, nodes, frozenset(weights), _numbers(flow.index.initializers, weights), tuple(watched)
    )


def _is_watched(flow: Flow, tensor: str, end: str, mine: set[int]) -> bool:
    """Whether a Shape of the tensor is needed by something that lies outside of the block."""
    waiting = [node for node in flow.index.readers.get(tensor, []) if id(node) not in mine]
    while waiting:
        node = waiting.pop()
        if any(name in flow.index.outside for name in node.output):
            return True
        for reader in (reader for name in node.output for reader in flow.index.readers.get(name, [])):
            if flow.carries(reader) and id(reader) not in mine:
                return True
            if not flow.carries(reader):
                waiting.append(reader)
    return False


def _numbers(initializers: Mapping[str, onnx.TensorProto], names: set[str]) -> int:
    return sum(math.prod(initializers[name].dims) for name in names if initializers[name].data_type in FLOATS)
