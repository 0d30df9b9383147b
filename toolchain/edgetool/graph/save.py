"""Saving a model: written aside and moved into place, with external data beside it when it is large."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING

from edgetool.disk import written_aside
from edgetool.graph.external_data import extent, is_external, read_bytes
from edgetool.graph.walk import NamedTensor, tensors
from edgetool.graph.write import LateTensor, write_model

if TYPE_CHECKING:
    import onnx

INLINE_LIMIT = 1_500_000_000
"""Bytes of weights that a single .onnx file may hold; protobuf ends at 2 GiB and readers need room."""
SMALL_TENSOR = 1024
"""Bytes up to which a tensor stays inside the .onnx file, where shape inference can see it."""
_PAGE = 4096
_LATE_OVER = 1 << 20  # bytes


def save(proto: onnx.ModelProto, path: Path, *, folder: Path | None = None) -> None:
    """Write a model; a reader never sees half of it.

    Up to 1.5 GB of weights the result is one file. Above, the weights go to `<name>.data` beside it. Either way
    **`proto` is used up**: its weights leave it one at a time, so that memory does not hold them twice.

    Args:
        proto: the model. Tensors may be inline or, when it was loaded with `weights=False`, external.
        path: the .onnx file to write.
        folder: where the external tensors of `proto` lie.

    Raises:
        HostError: disk full, or no permission.
        ModelError: external data of `proto` that is unsafe or broken.
    """
    if weight_bytes(proto) > INLINE_LIMIT:
        data = path.with_name(path.name + ".data")
        with written_aside(data) as file:
            _move_out(proto, file, data.name, folder)
        late: list[LateTensor] = []
    else:
        late = _take_in(proto, folder)
    with written_aside(path) as file:
        write_model(file, proto, late)


def weight_bytes(proto: onnx.ModelProto) -> int:
    """Bytes of all stored tensors, inline and external."""
    from edgetool.graph.element import ELEMENTS

    total = 0
    for named in tensors(proto):
        element = ELEMENTS.get(named.tensor.data_type)
        total += (element.nbytes(tuple(named.tensor.dims)) or 0) if element else 0
    return total


def _move_out(proto: onnx.ModelProto, file: IO[bytes], location: str, folder: Path | None) -> None:
    import onnx
    import onnx.external_data_helper
    import onnx.numpy_helper

    for named in tensors(proto):
        tensor = named.tensor
        if is_external(tensor):
            block = read_bytes(extent(named, _require(folder), where=str(folder)))
        elif tensor.data_type == onnx.TensorProto.STRING:
            continue
        elif tensor.HasField("raw_data"):
            block = tensor.raw_data
        else:
            block = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor)).raw_data
        if len(block) <= SMALL_TENSOR:
            _inline(tensor, block)
            continue
        file.seek(-file.tell() % _PAGE, os.SEEK_CUR)
        _inline(tensor, b"")
        onnx.external_data_helper.set_external_data(tensor, location, offset=file.tell(), length=len(block))
        tensor.ClearField("raw_data")
        file.write(block)


def _take_in(proto: onnx.ModelProto, folder: Path | None) -> list[LateTensor]:
    """Take external and large initializers out of `proto`, to be written behind it; other tensors come inline."""
    kept: list[onnx.TensorProto] = []
    late: list[LateTensor] = []
    for tensor in proto.graph.initializer:
        if not is_external(tensor):
            if (size := len(tensor.raw_data)) > _LATE_OVER:
                late.append(LateTensor(_head(tensor), size, functools.partial(getattr, tensor, "raw_data")))
            else:
                kept.append(tensor)
            continue
        place = extent(NamedTensor(tensor, tensor.name), _require(folder), where=str(folder))
        head = _copy(tensor)
        _inline(head, b"")
        head.ClearField("raw_data")
        late.append(LateTensor(head, place.length, functools.partial(read_bytes, place)))
    if late:
        copies = [_copy(tensor) for tensor in kept]
        del proto.graph.initializer[:]
        proto.graph.initializer.extend(copies)
    for named in tensors(proto):
        if is_external(named.tensor):
            _inline(named.tensor, read_bytes(extent(named, _require(folder), where=str(folder))))
    return late


def _head(tensor: onnx.TensorProto) -> onnx.TensorProto:
    """The tensor without its bytes, which a copy would hold once more."""
    head = type(tensor)(
        name=tensor.name, data_type=tensor.data_type, dims=tensor.dims, doc_string=tensor.doc_string or None
    )
    head.metadata_props.extend(tensor.metadata_props)
    return head


def _copy(tensor: onnx.TensorProto) -> onnx.TensorProto:
    copy = type(tensor)()
    copy.CopyFrom(tensor)
    return copy


def _inline(tensor: onnx.TensorProto, block: bytes) -> None:
    """Make `block` the tensor's bytes, whatever it held before."""
    for field in (
        "external_data",
        "data_location",
        "float_data",
        "int32_data",
        "int64_data",
        "double_data",
        "uint64_data",
    ):
        tensor.ClearField(field)
    tensor.raw_data = block


def _require(folder: Path | None) -> Path:
    if folder is None:
        raise ValueError("the model has external tensors: say in which folder they lie")
    return folder
