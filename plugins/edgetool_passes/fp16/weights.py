"""What happens to a stored float32 tensor: it gets 16 bits, it is clamped as a mask's fill value, or it stays."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from edgetool_passes.fp16.form import FLOAT16, Form

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir

MASK_FILL = 1e9
"""Magnitudes from here on stand for minus infinity in attention masks; no activation is that large."""
_FILLED = frozenset({"Clip", "Max", "Min", "Pad", "Where"})
"""Operators in which a constant that is too large is only compared or put in, so that clamping keeps its meaning."""
_MASKING = frozenset({"Add", "Mul", "Sub"})
_SCALED = frozenset({"QuantizeLinear", "DequantizeLinear"})
_WORST_SCALE = 2.0**-9
"""Relative error of a scale that is still less than what rounding to int8 does."""


class Fate(Enum):
    """What becomes of a stored tensor in 16 bits."""

    HALF = "half"
    CLAMP = "clamp"
    FLOAT = "float"


def fate_of(tensor: ir.TensorProtocol, readers: frozenset[str], form: Form) -> Fate:
    """Decide by the tensor's range; infinities stay what they are.

    Args:
        tensor: float32.
        readers: operators that read it.
        form: what it would become.
    """
    largest, uniform = _extent(tensor)
    if largest == 0 or form.smallest <= largest <= form.largest:
        return Fate.HALF
    if readers <= _SCALED:
        return Fate.HALF if scales_fit(tensor, form) else Fate.FLOAT
    if largest > form.largest and uniform:
        fill = readers <= _FILLED or (largest >= MASK_FILL and readers <= _FILLED | _MASKING)
        return Fate.CLAMP if fill else Fate.FLOAT
    return Fate.FLOAT


def scales_fit(tensor: ir.TensorProtocol, form: Form) -> bool:
    """Whether every scale keeps its value well enough: below the normal range bits are lost."""
    import numpy as np

    scales = np.abs(tensor.numpy()).astype(np.float64)
    if not scales.size:
        return True
    step = form.smallest * 2.0 ** (1 - form.bits)
    return bool(
        scales.max() <= form.largest and (scales.min() >= form.smallest or step / 2 <= _WORST_SCALE * scales.min())
    )


def as_half(tensor: ir.TensorProtocol, name: str, form: Form) -> ir.TensorProtocol:
    """The tensor in 16 bits, computed when it is asked for, so that nothing is held meanwhile; fills are clamped."""
    import numpy as np
    import onnx_ir as ir

    dtype = form.dtype.numpy()

    def compute() -> ir.TensorProtocol:
        values = tensor.numpy()
        with np.errstate(over="ignore"):
            half = np.asarray(values, dtype=dtype)
        if values.size and np.isinf(np.array([half.min(), half.max()], np.float32)).any():
            limit = form.largest
            half = np.where(np.isfinite(values), np.clip(values, -limit, limit), values).astype(dtype)
        del values  # or the mapping could not be given back
        release(tensor)
        return ir.Tensor(half, dtype=form.dtype, name=name)

    return ir.LazyTensor(compute, form.dtype, ir.Shape(tensor.shape.numpy()), name=name)


def clamped(tensor: ir.TensorProtocol, name: str) -> ir.TensorProtocol:
    """The same float32 tensor with its values moved into float16's range: what reads it may be cast later."""
    import numpy as np
    import onnx_ir as ir

    limit = FLOAT16.largest
    return ir.Tensor(np.clip(tensor.numpy(), -limit, limit).astype(np.float32), name=name)


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
