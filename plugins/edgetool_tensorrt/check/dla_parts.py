"""Into how many pieces a network falls when the GPU runs some of its nodes: each is loaded into the DLA by itself."""

from __future__ import annotations

from collections.abc import Mapping

from edgetool_tensorrt.check.dla_nodes import computes
from edgetool_tensorrt.check.subject import Row, Subject


def count_parts(subject: Subject, elsewhere: Mapping[str, str]) -> int:
    """How many connected pieces of the main graph the DLA runs.

    Two of its nodes are in one piece where a path of its nodes joins them and no path between them leads over the GPU:
    along a path, every change from the GPU back to the DLA begins a new level, and pieces do not cross levels. The
    builder may cut further, at its limits of memory.

    Args:
        subject: whose rows are in an order that can run.
        elsewhere: labels of the nodes on the GPU.
    """
    main = [row for row in subject.rows if row.scope.outer is None and row.owner == row.label]
    makers: dict[str, Row] = {name: row for row in main for name in row.node.output if name}
    level: dict[str, int] = {}
    piece: dict[str, str] = {}
    for row in main:
        before = [makers[name] for name in row.node.input if name in makers]
        on_gpu = row.label in elsewhere
        level[row.label] = max(
            (level[one.label] + (one.label in elsewhere and not on_gpu) for one in before), default=0
        )
        if on_gpu:
            continue
        piece[row.label] = row.label
        for one in before:
            if one.label in piece and level[one.label] == level[row.label]:
                _join(piece, one.label, row.label)
    return len({_root(piece, row.label) for row in main if row.label in piece and computes(row)})


def _root(piece: dict[str, str], label: str) -> str:
    while piece[label] != label:
        label = piece[label]
    return label


def _join(piece: dict[str, str], one: str, other: str) -> None:
    piece[_root(piece, other)] = _root(piece, one)
