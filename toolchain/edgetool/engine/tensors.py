"""Arrays across a process boundary: raw bytes in a file, names, dtypes and shapes in the message."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetool.runner import Feeds
from edgetool.signature import numpy_dtype

if TYPE_CHECKING:
    import numpy as np

Header = list[dict[str, Any]]


def write_tensors(path: Path, tensors: Feeds) -> Header:
    """Write the arrays one after the other, C order, and return what `read_tensors` needs to find them."""
    import numpy as np

    header: Header = []
    with path.open("wb") as sink:
        for name, tensor in tensors.items():
            array = np.ascontiguousarray(tensor)
            if array.dtype == object:  # strings, as runtimes return them
                array = array.astype(np.str_)
            header.append({"name": name, "dtype": _dtype_name(array), "shape": list(np.shape(tensor))})
            sink.write(array.tobytes())
    return header


def read_tensors(path: Path, header: Header) -> dict[str, np.ndarray[Any, Any]]:
    """Inverse of `write_tensors`; the arrays own their memory."""
    import numpy as np

    data = path.read_bytes()
    found = {}
    offset = 0
    for row in header:
        dtype = numpy_dtype(row["dtype"])
        count = int(np.prod(row["shape"], dtype=np.int64))
        array = np.frombuffer(data, dtype, count, offset).reshape(row["shape"]).copy()
        found[row["name"]] = array
        offset += array.nbytes
    return found


def _dtype_name(array: np.ndarray[Any, Any]) -> str:
    return str(array.dtype.str if array.dtype.kind == "U" else array.dtype.name)
