"""The two 16-bit floats: what they are called where, and what they can hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True, slots=True)
class Form:
    """A 16-bit float type.

    Attributes:
        name: as messages call it; onnx_ir's name in lower case.
        suffix: of the names of tensors that are cast to it.
        type_str: in ONNX's schemas.
        bits: of precision, the leading one included.
        smallest: the smallest magnitude with all those bits.
        largest: the largest finite magnitude.
    """

    name: str
    suffix: str
    type_str: str
    bits: int
    smallest: float
    largest: float

    @property
    def dtype(self) -> ir.DataType:
        import onnx_ir as ir

        return ir.DataType[self.name.upper()]


FLOAT16 = Form("float16", "fp16", "tensor(float16)", bits=11, smallest=2.0**-14, largest=65504.0)
BFLOAT16 = Form("bfloat16", "bf16", "tensor(bfloat16)", bits=8, smallest=2.0**-126, largest=3.3895314e38)
