"""External data, treated as hostile: where a tensor's bytes lie, and reading them.

Nothing here follows a name out of the model's folder. Links are refused too: a symbolic link leads out by design, and
a hard link to a secret looks like an ordinary file to every other check. Ranges are compared with the dtype, the
shape and the file's true size before a byte is read.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetool.errors import ModelError
from edgetool.graph.element import element
from edgetool.graph.walk import NamedTensor, tensors

if TYPE_CHECKING:
    import numpy as np
    import onnx

_EXTERNAL = 1  # TensorProto.EXTERNAL, spelled out so that planning need not import onnx
_KEYS = frozenset({"location", "offset", "length", "checksum"})
_COPY_HINT = "Copy the real file beside the .onnx (`cp -L` follows links)."


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a tensor's bytes lie: a checked file, and a range inside it."""

    path: Path
    offset: int
    length: int


def is_external(tensor: onnx.TensorProto) -> bool:
    """True when the tensor's bytes are in another file."""
    return tensor.HasField("data_location") and int(tensor.data_location) == _EXTERNAL


def has_external_data(model: onnx.ModelProto) -> bool:
    """True when any tensor's bytes are in another file."""
    return any(is_external(named.tensor) for named in tensors(model))


def resolve(folder: Path, location: str, *, where: str) -> Path:
    """The file that a `location` names, inside `folder` and not a link of any kind.

    Raises:
        ModelError: `unsafe-external-data` for a name that leads out or a link, `broken-external-data` when the file
            is not there or not a regular file.
    """
    parts = location.split("/")
    if not location or "\0" in location:
        raise ModelError("unsafe-external-data", "external data without a file name", where=where)
    if location.startswith(("/", "\\")) or (len(location) > 1 and location[1] == ":"):
        raise ModelError("unsafe-external-data", f"external data at the absolute path {location!r}", where=where)
    if "\\" in location or any(part in ("", ".", "..") for part in parts):
        raise ModelError(
            "unsafe-external-data", f"external data at {location!r}, which leads out of the model's folder", where=where
        )
    path = folder
    for part in parts:
        path = path / part
        try:
            status = path.lstat()
        except FileNotFoundError as error:
            raise ModelError(
                "broken-external-data",
                f"the model keeps weights in {location!r}, which is not there",
                where=where,
                hint=f"put {path.name} beside the .onnx file, or export it again in one file",
            ) from error
        if stat.S_ISLNK(status.st_mode):
            raise ModelError(
                "unsafe-external-data", f"external data {location!r} is a symbolic link", where=where, hint=_COPY_HINT
            )
    if not stat.S_ISREG(status.st_mode):
        raise ModelError("broken-external-data", f"external data {location!r} is not a regular file", where=where)
    if status.st_nlink > 1:
        raise ModelError(
            "unsafe-external-data",
            f"external data {location!r} is a hard link ({status.st_nlink} names)",
            where=where,
            hint="copy the file: a second name for it may lie outside the model's folder",
        )
    return path


def extent(named: NamedTensor, folder: Path, *, where: str) -> Extent:
    """Where an external tensor's bytes lie, checked against its dtype, its shape and the file.

    Raises:
        ModelError: `unsafe-external-data` or `broken-external-data`.
    """
    tensor = named.tensor
    where = f"{where}: {named.label}"
    entries = _entries(tensor, where)
    path = resolve(folder, entries.get("location", ""), where=where)
    need = element(tensor.data_type, where=where).nbytes(tuple(tensor.dims))
    if need is None:
        raise ModelError("broken-external-data", "strings cannot be external data", where=where)
    offset = _number(entries.get("offset", "0"), "offset", where)
    length = _number(entries.get("length", str(need)), "length", where)
    size = path.stat().st_size
    if length != need:
        raise ModelError(
            "broken-external-data", f"{length} bytes of external data where its shape needs {need}", where=where
        )
    if offset + length > size:
        raise ModelError(
            "broken-external-data",
            f"external data {path.name!r} ends at byte {size}, but the weights reach to {offset + length}",
            where=where,
            hint="the file was cut short, or belongs to another model: copy it again",
        )
    return Extent(path, offset, length)


def _entries(tensor: onnx.TensorProto, where: str) -> dict[str, str]:
    entries: dict[str, str] = {}
    for entry in tensor.external_data:
        if entry.key not in _KEYS:
            raise ModelError("unsafe-external-data", f"external data with the foreign key {entry.key!r}", where=where)
        if entry.key in entries:
            raise ModelError("unsafe-external-data", f"external data with two {entry.key!r} keys", where=where)
        entries[entry.key] = entry.value
    return entries


def _number(text: str, what: str, where: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise ModelError("unsafe-external-data", f"external data with {what} {text[:40]!r}", where=where)
    return int(text)


def read_bytes(extent: Extent) -> bytes:
    """The bytes of an extent; a file swapped for a link since the check is not followed."""
    descriptor = os.open(extent.path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0))
    with os.fdopen(descriptor, "rb") as file:
        file.seek(extent.offset)
        return file.read(extent.length)


def array(named: NamedTensor, folder: Path, *, where: str) -> np.ndarray[Any, Any]:
    """The tensor's values; external ones are mapped, not read, so that only the pages that are used cost memory.

    Raises:
        ModelError: as `extent`.
    """
    import numpy as np
    import onnx.helper
    import onnx.numpy_helper

    tensor = named.tensor
    if not is_external(tensor):
        return np.asarray(onnx.numpy_helper.to_array(tensor))
    place = extent(named, folder, where=where)
    if element(tensor.data_type, where=where).bits in (8, 16, 32, 64, 128) and place.length:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        return np.memmap(place.path, dtype=dtype, mode="r", offset=place.offset, shape=tuple(tensor.dims))
    packed = onnx.TensorProto()
    packed.CopyFrom(tensor)
    packed.ClearField("external_data")
    packed.ClearField("data_location")
    packed.raw_data = read_bytes(place)
    return np.asarray(onnx.numpy_helper.to_array(packed))
