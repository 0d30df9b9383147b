"""What happens to a stored float32 tensor: it becomes float16, it is clamped as a mask's fill value, or it stays."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir

LARGEST = 65504.0
SMALLEST_NORMAL = 2.0**-14
MASK_FILL = 1e9
"""Magnitudes from here on stand for minus infinity in attention masks; no activation is that large."""
_FILLED = frozenset({"Clip", "Max", "Min", "Pad", "Where"})
"""Operators in which a constant that is too large is only compared or put in, so that clamping keeps its meaning."""
_MASKING = frozenset({"Add", "Mul", "Sub"})


class Fate(Enum):
    """What becomes of a stored tensor in float16."""

    HALF = "half"
    CLAMP = "clamp"
    FLOAT = "float"


def fate_of(tensor: ir.TensorProtocol, readers: frozenset[str]) -> Fate:
    """Decide by the tensor's range; infinities stay what they are.

    Args:
        tensor: float32.
        readers: operators that read it.
    """
    largest, uniform = _extent(tensor)
    if largest == 0 or SMALLEST_NORMAL <= largest <= LARGEST:
        return Fate.HALF
    if largest > LARGEST and uniform:
        fill = readers <= _FILLED or (largest >= MASK_FILL and readers <= _FILLED | _MASKING)
        return Fate.CLAMP if fill else Fate.FLOAT
    return Fate.FLOAT


def as_half(tensor: ir.TensorProtocol, name: str) -> ir.TensorProtocol:
    """The tensor in float16, computed when it is asked for, so that nothing is held meanwhile; fills are clamped."""
    import numpy as np
    import onnx_ir as ir

    def compute() -> ir.TensorProtocol:
        values = tensor.numpy()
        with np.errstate(over="ignore"):
            half = np.asarray(values, dtype=np.float16)
        if values.size and np.isinf([half.min(), half.max()]).any():
            half = np.where(np.isfinite(values), np.clip(values, -LARGEST, LARGEST), values).astype(np.float16)
        del values  # or the mapping could not be given back
        release(tensor)
        return ir.Tensor(half, name=name)

    return ir.LazyTensor(compute, ir.DataType.FLOAT16, ir.Shape(tensor.shape.numpy()), name=name)


def clamped(tensor: ir.TensorProtocol, name: str) -> ir.TensorProtocol:
    """The same float32 tensor with its values moved into float16's range: what reads it may be cast later."""
    import numpy as np
    import onnx_ir as ir

    return ir.Tensor(np.clip(tensor.numpy(), -LARGEST, LARGEST).astype(np.float32), name=name)


def release(tensor: ir.TensorProtocol) -> None:
    """Give back the mapping of an external tensor, so that walking over all of them does not add up."""
    import onnx_ir as ir

    if isinstance(tensor, ir.ExternalTensor):
        tensor.release()


def _extent(tensor: ir.TensorProtocol) -> tuple[float, bool]:
    """Largest finite magnitude, and whether all values have the same one."""
    import numpy as np

    values: np.ndarray[Any, Any] = tensor.numpy()
    if not values.size:
        return 0.0, True
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    del values  # or the mapping could not be given back
    release(tensor)
    return max(abs(low), abs(high)), low == high
