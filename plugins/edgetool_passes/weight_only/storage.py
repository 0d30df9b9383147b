"""Quantized weights on their way: written to a file as they come, so that memory holds one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from edgetool_passes.weight_only.layout import Layout

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class QuantizedWeight:
    """One weight, whole.

    Attributes:
        layout: with the shape, and how finely it is quantized.
        integers: int8 or uint8, the weight's shape.
        scale: float32, of the layout's `scale_shape`.
        zero_point: uint8, like the scale; None where it is 0.
    """

    layout: Layout
    integers: Array
    scale: Array
    zero_point: Array | None


@dataclass(frozen=True, eq=False)
class StoredWeight:
    """The tensors of one quantized weight, in a file.

    Attributes:
        integers, scale, zero_point: as `QuantizedWeight`.
        nbytes: of the three together.
    """

    integers: ir.ExternalTensor
    scale: ir.ExternalTensor
    zero_point: ir.ExternalTensor | None

    @property
    def tensors(self) -> tuple[ir.ExternalTensor, ...]:
        held = (self.integers, self.scale, self.zero_point)
        return tuple(tensor for tensor in held if tensor is not None)

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors)


class Spool:
    """Takes weights in; what it gives back reads from its file, which has to stay until the model is saved.

    Args:
        file: open for writing.
        path: of that file.
    """

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file = file
        self._path = path

    def store(self, weight: QuantizedWeight, name: str) -> StoredWeight:
        """Write a weight; the names of its tensors are made from that of the float weight."""
        import numpy as np

        grain = weight.layout.grain
        scale = weight.scale.astype(np.float16) if grain.half else weight.scale
        zero = weight.zero_point
        stored = StoredWeight(
            self._write(weight.integers, grain.dtype, f"{name}_{grain.dtype}"),
            self._write(scale, scale.dtype.name, f"{name}_scale"),
            None if zero is None else self._write(zero, grain.dtype, f"{name}_zero_point"),
        )
        self._file.flush()
        return stored

    def _write(self, values: Array, dtype: str, name: str) -> ir.ExternalTensor:
        import onnx_ir as ir

        offset = self._file.tell()
        length = self._file.write(packed(values).data if dtype.endswith("int4") else values.data)
        kinds = {"float32": "FLOAT", "float16": "FLOAT16"}
        return ir.ExternalTensor(
            self._path.name,
            offset,
            length,
            ir.DataType[kinds.get(dtype, dtype.upper())],
            shape=ir.Shape(values.shape),
            name=name,
            base_dir=str(self._path.parent),
        )


def packed(values: Array) -> Array:
    """Two four-bit integers in a byte, the first in the lower half, as ONNX packs them."""
    import numpy as np

    flat = values.reshape(-1).view(np.uint8) & np.uint8(0x0F)
    if flat.size % 2:
        flat = np.append(flat, np.uint8(0))
    return flat[0::2] | flat[1::2] << np.uint8(4)
