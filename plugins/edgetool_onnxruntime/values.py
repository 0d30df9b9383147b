"""Element types: ONNX Runtime's names, numpy's, and the few that only an OrtValue can carry."""

from __future__ import annotations

import ctypes
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_NUMPY_NAMES = {
    "float": "float32",
    "double": "float64",
    "float8e4m3fn": "float8_e4m3fn",
    "float8e4m3fnuz": "float8_e4m3fnuz",
    "float8e5m2": "float8_e5m2",
    "float8e5m2fnuz": "float8_e5m2fnuz",
}
_ELEMENT_TYPES = {
    "bfloat16": 16,
    "float8_e4m3fn": 17,
    "float8_e4m3fnuz": 18,
    "float8_e5m2": 19,
    "float8_e5m2fnuz": 20,
}
"""TensorProto.DataType of what numpy knows only through ml_dtypes."""

_TENSOR = re.compile(r"tensor\((?P<element>\w+)\)")
_PACKED = ("int4", "uint4", "int2", "uint2", "float4e2m1")


def dtype_name(value_type: str) -> str | None:
    """`tensor(float)` -> `float32`; None for sequences, maps, optionals and packed types, which no feed can carry."""
    match = _TENSOR.fullmatch(value_type)
    if match is None or match["element"] in _PACKED:
        return None
    return _NUMPY_NAMES.get(match["element"], match["element"])


def needs_ort_value(dtype: str) -> bool:
    """True for element types that ONNX Runtime neither takes from nor gives to numpy."""
    return dtype in _ELEMENT_TYPES


def to_ort_value(runtime: Any, array: np.ndarray[Any, Any]) -> Any:
    """An OrtValue that holds the array's elements, bit by bit where numpy lacks the type."""
    element = _ELEMENT_TYPES.get(array.dtype.name)
    if element is None:
        return runtime.OrtValue.ortvalue_from_numpy(array)
    import numpy as np

    bits = array.view(np.uint16 if array.dtype.itemsize == 2 else np.uint8)
    return runtime.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, element)


def from_ort_value(value: Any, dtype: str) -> np.ndarray[Any, Any]:
    """A copy of the OrtValue's elements; ml_dtypes' types for bfloat16 and float8."""
    if dtype not in _ELEMENT_TYPES:
        array: np.ndarray[Any, Any] = value.numpy()
        return array
    import ml_dtypes
    import numpy as np

    size = value.tensor_size_in_bytes()
    content = ctypes.string_at(value.data_ptr(), size) if size else b""
    return np.frombuffer(content, getattr(ml_dtypes, dtype)).reshape(value.shape()).copy()
