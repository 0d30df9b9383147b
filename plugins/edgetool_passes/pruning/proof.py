"""Proves that a cut graph is what it was meant to become: every tensor has the shape that follows from what went."""

from __future__ import annotations

from collections.abc import Mapping

from edgetool.errors import ModelError
from edgetool.graph.shapes import ShapedGraph


def prove(shaped: ShapedGraph, expected: Mapping[str, tuple[int, ...]], *, where: str) -> None:
    """Compare the shapes that follow from the graph with those that follow from what was removed.

    Args:
        shaped: the cut graph at the sizes that it was traced with.
        expected: by tensor name.
        where: the model's file, for messages.

    Raises:
        ModelError: `inconsistent-pruning`.
    """
    for node in shaped.graph.node:
        for name in node.output:
            known = shaped.types.get(name)
            if known is not None and expected.get(name, known.shape) != known.shape:
                raise ModelError(
                    "inconsistent-pruning",
                    f"without the removed channels, {name!r} would have the shape {list(known.shape)} instead of "
                    f"{list(expected[name])}",
                    where=f"{where}: node {node.name or node.op_type}",
                    hint="keep the channels in front of this node with `exclude`, and report the model",
                )
