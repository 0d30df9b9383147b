"""ONNX's element types: their names in edgetool and how many bits an element takes."""

from __future__ import annotations

from dataclasses import dataclass

from edgetool.errors import ModelError


@dataclass(frozen=True, slots=True)
class Element:
    """One element type.

    Attributes:
        name: numpy's name, or ml_dtypes' where numpy has none; `string` for text.
        bits: size of one element; None for `string`.
    """

    name: str
    bits: int | None

    def nbytes(self, dims: tuple[int, ...]) -> int | None:
        """Bytes that a tensor of this shape takes; sub-byte elements are packed."""
        if self.bits is None:
            return None
        count = 1
        for dim in dims:
            count *= dim
        return (count * self.bits + 7) // 8


ELEMENTS = {
    1: Element("float32", 32),
    2: Element("uint8", 8),
    3: Element("int8", 8),
    4: Element("uint16", 16),
    5: Element("int16", 16),
    6: Element("int32", 32),
    7: Element("int64", 64),
    8: Element("string", None),
    9: Element("bool", 8),
    10: Element("float16", 16),
    11: Element("float64", 64),
    12: Element("uint32", 32),
    13: Element("uint64", 64),
    14: Element("complex64", 64),
    15: Element("complex128", 128),
    16: Element("bfloat16", 16),
    17: Element("float8_e4m3fn", 8),
    18: Element("float8_e4m3fnuz", 8),
    19: Element("float8_e5m2", 8),
    20: Element("float8_e5m2fnuz", 8),
    21: Element("uint4", 4),
    22: Element("int4", 4),
    23: Element("float4_e2m1fn", 4),
    24: Element("float8_e8m0fnu", 8),
    25: Element("uint2", 2),
    26: Element("int2", 2),
    27: Element("float6_e2m3fn", 6),
    28: Element("float6_e3m2fn", 6),
}
"""By the number that TensorProto.DataType gives them (onnx.proto)."""


def element(number: int, *, where: str) -> Element:
    """The element type with this number.

    Raises:
        ModelError: `unsupported-type` when ONNX knows no such type.
    """
    if number not in ELEMENTS:
        raise ModelError("unsupported-type", f"element type {number} is not one that ONNX defines", where=where)
    return ELEMENTS[number]
