"""Quantizes one weight, some megabytes at a time, and measures what that costs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from edgetool.errors import ModelError
from edgetool_passes.weight_only.codes import Codes
from edgetool_passes.weight_only.grain import Grain
from edgetool_passes.weight_only.layout import Layout
from edgetool_passes.weight_only.storage import QuantizedWeight

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir

    Array = np.ndarray[Any, Any]

Rounder: TypeAlias = "Callable[[Array, Grain], Codes]"
"""A method: float32 [rows, columns] and a grain to integers; rows do not depend on each other."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Sums of squares over a weight.

    Attributes:
        error: of what the integers stand for minus the weight.
        power: of the weight.
    """

    error: float
    power: float

    @property
    def relative(self) -> float:
        """Root of the mean squared error, as a share of the root of the weight's mean square."""
        return math.sqrt(self.error / self.power) if self.power > 0 else 0.0


def quantize(
    values: Array, layout: Layout, rounder: Rounder, *, factor: Array | None, where: str
) -> tuple[QuantizedWeight, Loss]:
    """Quantize a weight.

    Args:
        values: float, of the layout's shape; may be mapped from a file.
        layout: with the grain.
        rounder: the method.
        factor: float32 [columns] to multiply the weight by first, or None.
        where: the file and the weight, for messages.

    Raises:
        ModelError: `non-finite-weight`.
    """
    import numpy as np

    grain = layout.grain
    integers = np.empty(layout.shape, np.int8 if grain.symmetric else np.uint8)
    scale = np.empty(layout.scale_shape, np.float32)
    zero_point = None if grain.symmetric else np.empty(layout.scale_shape, np.uint8)
    error = power = 0.0
    for part in layout.parts():
        matrix = layout.matrix(values, part)
        if factor is not None:
            matrix = matrix * factor
        square = float(np.vdot(matrix, matrix))
        if not math.isfinite(square) and not np.isfinite(matrix).all():
            raise ModelError(
                "non-finite-weight",
                "a weight holds NaN or infinity",
                where=where,
                hint="the training diverged or the export went wrong: export a healthy checkpoint",
            )
        codes = rounder(matrix, grain)
        layout.put(integers, part, codes.integers)
        layout.put(scale, part, codes.scale)
        if zero_point is not None and codes.zero_point is not None:
            layout.put(zero_point, part, codes.zero_point)
        off = codes.values()
        off -= matrix
        error += float(np.vdot(off, off))
        power += square
    return QuantizedWeight(layout, integers, scale, zero_point), Loss(error, power)


def release(tensor: ir.TensorProtocol) -> None:
    """Give the mapping of an external tensor back, so that walking over all of them does not add up."""
    import onnx_ir as ir

    if isinstance(tensor, ir.ExternalTensor):
        tensor.release()
