"""The shapes that a model declares for its outputs, carried over a rewrite that infers others.

A signature is what the user was promised; a better inferred name or size for an output's dimension is no reason to
change it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir


def output_shapes(model: ir.Model) -> list[ir.Shape | None]:
    """Copies of the declared shapes, to be taken before anything is inferred."""
    return [value.shape.copy() if value.shape is not None else None for value in model.graph.outputs]


def declare_output_shapes(model: ir.Model, shapes: Sequence[ir.Shape | None]) -> None:
    """Put the shapes back; outputs are matched by position."""
    for value, shape in zip(model.graph.outputs, shapes, strict=True):
        value.shape = shape
