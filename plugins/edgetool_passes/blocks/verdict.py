"""Whether blocks can be removed from a model, before any data is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgetool.problem import Problem
from edgetool_passes.blocks.stacks import Block

if TYPE_CHECKING:
    import onnx


def reasons_against(graph: onnx.GraphProto, blocks: Sequence[Block]) -> dict[int, str]:
    """Block -> why it has to stay; blocks that can go are missing."""
    fed = {value.name for value in graph.input}
    found: dict[int, str] = {}
    for block in blocks:
        if given := sorted(block.weights & fed):
            found[block.number] = f"its weight {given[0]!r} is an input of the model"
        elif block.watched:
            found[block.number] = f"the shape of its tensor {block.watched[0]!r} is used outside of it"
    return found


def nothing_repeats() -> Problem:
    """The refusal for networks without a stack."""
    return Problem(
        "no residual block repeats: blocks can only be removed where data can pass around them, and where several of "
        "the same form stand one behind the other",
        fix="take this pass out of the recipe; put `simplify` first if the export wrote like blocks differently",
    )


def choice_problems(blocks: Sequence[Block], against: dict[int, str], removed: Sequence[int]) -> tuple[Problem, ...]:
    """What is wrong with a list of blocks to remove."""
    last = len(blocks) - 1
    if beyond := sorted(number for number in removed if not -len(blocks) <= number <= last):
        return (Problem(f"there is no block {beyond[0]}: this network has blocks 0 to {last}", fix="correct `blocks`"),)
    places = [number % len(blocks) for number in removed]
    if len(set(places)) < len(places):
        return (Problem("`blocks` names a block twice", fix="-1 is the last block: name each once"),)
    return tuple(
        Problem(f"block {number} cannot be removed: {against[number]}", _labels(blocks[number]), "remove another block")
        for number in places
        if number in against
    )


def count_problems(blocks: Sequence[Block], against: dict[int, str], wanted: int) -> tuple[Problem, ...]:
    """Whether so many blocks can go."""
    able = len(blocks) - len(against)
    if 0 < wanted <= able:
        return ()
    if wanted <= 0:
        return (Problem(f"this network has {len(blocks)} blocks, so `keep` leaves none to remove", fix="lower `keep`"),)
    first = next(iter(against.values()), None)
    reason = f"; the first stays because {first}" if first else ""
    return (Problem(f"{wanted} blocks are to go, but only {able} can{reason}", fix="remove fewer blocks"),)


def _labels(block: Block) -> tuple[str, ...]:
    return tuple(node.name or node.output[0] for node in block.nodes)
