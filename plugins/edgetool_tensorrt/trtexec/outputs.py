"""Tensors in and out of trtexec: raw bytes for `--loadInputs`, JSON from `--exportOutput`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgetool.errors import BudgetError, ModelError
from edgetool.signature import Signature, TensorSpec, numpy_dtype
from edgetool_tensorrt.version import Version

if TYPE_CHECKING:
    import numpy as np

_NOT_FINITE = re.compile(r"(?<=[\s,\[])(-?)(nan|inf)(?:\(\w*\))?(?=[\s,\]])", re.IGNORECASE)
"""As C++ streams spell them: `nan`, `-nan`, `inf`, `-inf`."""
_SPELLED = {"nan": "NaN", "inf": "Infinity"}
_FINAL_SHAPE = re.compile(r"Final shape is (\S*) reported by the output allocator\.\s*")
"""TensorRT 10.4 and later write this into the list of values where the shape of an output depends on data."""
_SIZE = re.compile(r"-?\d+")
_FLOATS = frozenset({"float16", "float32", "float64", "bfloat16"})
_NARROWED = {"int64": "int32", "float64": "float32"}


def input_bytes(version: Version, array: np.ndarray[Any, Any]) -> bytes:
    """An input as the file that trtexec loads: little-endian, C order.

    Engines hold float64 as float32 in every version, and int64 as int32 before TensorRT 10.

    Args:
        version: that runs the engine.
        array: of any shape.

    Raises:
        ModelError: `input-beyond-int32`: a value that such an engine cannot take.
    """
    import numpy as np

    kind = str(array.dtype)
    if kind == "float64" or (kind == "int64" and version.major < 10):
        beyond = array[(array < -(2**31)) | (array >= 2**31)] if kind == "int64" else array[:0]
        if beyond.size:
            raise ModelError(
                "input-beyond-int32",
                f"TensorRT {version} holds int64 as int32, and an input has the value {beyond.flat[0]}",
                hint="use TensorRT 10 or later",
            )
        array = array.astype(_NARROWED[kind])
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()


def read_outputs(text: str, signature: Signature) -> dict[str, np.ndarray[Any, Any]]:
    """Outputs of one inference, in the types that the model declares.

    Floats have six significant digits in the file, whatever they had in the engine.

    Args:
        text: what trtexec wrote; the same layout from TensorRT 8.0 to 11.1.
        signature: of the model; outputs that it does not name are left out.

    Raises:
        BudgetError: `unreadable-outputs`: cut short, an output is missing, or values and dimensions do not agree.
    """
    rows = _rows(text)
    return {spec.name: _array(spec, rows) for spec in signature.outputs}


def _rows(text: str) -> dict[str, Mapping[str, Any]]:
    shapes: list[str] = []

    def set_aside(match: re.Match[str]) -> str:
        shapes.append(match[1])
        return f'"{match[1]}", '

    clean = _NOT_FINITE.sub(lambda one: one[1] * (one[2].lower() == "inf") + _SPELLED[one[2].lower()], text)
    clean = _FINAL_SHAPE.sub(set_aside, clean)
    try:
        return {row["name"]: row for row in json.loads(clean)}
    except (ValueError, TypeError, KeyError) as error:
        raise _bad("not a list of rows with name, dimensions and values; it was cut short") from error


def _array(spec: TensorSpec, rows: Mapping[str, Mapping[str, Any]]) -> np.ndarray[Any, Any]:
    import numpy as np

    row = rows.get(spec.name)
    if row is None:
        raise _bad(f"output {spec.name!r} is missing; there are {', '.join(map(repr, rows)) or 'none'}")
    try:
        values, dimensions = list(row["values"]), str(row["dimensions"])
        if values and isinstance(values[0], str):  # the final shape, which then stands before the values
            dimensions = values.pop(0)
        shape = tuple(map(int, _SIZE.findall(dimensions)))
        if not all(isinstance(value, int | float) for value in values):
            raise TypeError("null, or a text")
        wide = np.array(values, dtype=np.float64 if spec.dtype in _FLOATS else np.int64)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise _bad(f"output {spec.name!r}: dimensions or values that are none") from error
    if min(shape, default=0) < 0 or wide.size != math.prod(shape):
        raise _bad(f"output {spec.name!r} has {wide.size} values for the dimensions {dimensions or 'scalar'}")
    return wide.reshape(shape).astype(numpy_dtype(spec.dtype))


def _bad(what: str) -> BudgetError:
    """An engine whose outputs cannot be read has failed its validation, whoever spoilt them."""
    return BudgetError(
        "unreadable-outputs",
        f"the outputs that trtexec wrote are unreadable: {what}",
        hint="look at the log: it ended early, the disk of the device is full, or the engine is another model's",
    )
