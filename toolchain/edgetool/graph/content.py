"""Do stored tensors hold as much as their shapes say?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edgetool.errors import ModelError
from edgetool.graph.element import element
from edgetool.graph.external_data import is_external
from edgetool.graph.walk import NamedTensor, tensors

if TYPE_CHECKING:
    import onnx

_FIELDS = {
    "float32": "float_data",
    "complex64": "float_data",
    "float64": "double_data",
    "complex128": "double_data",
    "int64": "int64_data",
    "uint32": "uint64_data",
    "uint64": "uint64_data",
    "string": "string_data",
}
"""Element type to the field that holds its values; all others are in `int32_data` (onnx.proto)."""
_COMPLEX = ("complex64", "complex128")


def check_content(model: onnx.ModelProto, *, where: str) -> None:
    """Refuse tensors of an unknown type, or with more or fewer values than their shape wants.

    Raises:
        ModelError: `unsupported-type` or `damaged-model`.
    """
    for named in tensors(model):
        _check(named, where)


def _check(named: NamedTensor, where: str) -> None:
    tensor, where = named.tensor, f"{where}: {named.label}"
    kind = element(tensor.data_type, where=where)
    if any(dim < 0 for dim in tensor.dims):
        raise ModelError("damaged-model", f"a tensor of shape {list(tensor.dims)}", where=where)
    if tensor.HasField("segment"):
        raise ModelError(
            "damaged-model",
            "the tensor is a segment of a larger one, which no program writes",
            where=where,
            hint="export the model again",
        )
    if is_external(tensor):
        return
    if tensor.HasField("raw_data"):
        have, want, unit = len(tensor.raw_data), kind.nbytes(tuple(tensor.dims)), "bytes"
    else:
        have, want, unit = len(getattr(tensor, _FIELDS.get(kind.name, "int32_data"))), _count(named), "values"
    if have != want:
        raise ModelError(
            "damaged-model",
            f"a tensor of shape {list(tensor.dims)} and type {kind.name} with {have} {unit} instead of {want}",
            where=where,
            hint="export or download the model again",
        )


def _count(named: NamedTensor) -> int:
    """How many values the typed fields hold: complex numbers take two, packed ones share one."""
    kind = element(named.tensor.data_type, where=named.label)
    count: int = math.prod(named.tensor.dims)
    if kind.name in _COMPLEX:
        return 2 * count
    return count if kind.bits is None or kind.bits >= 8 else (kind.nbytes((count,)) or 0)
