"""Golden inputs as Triton's warm-up: the server runs them once before it calls the model ready."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool.bundle.read import Bundle
from edgetool_firmware.triton.model import Served, Tensor

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Sample:
    """Data for one input of one request.

    Attributes:
        tensor: the input.
        dims: of this sample, without the batch.
        data: elements in C order, little-endian; strings with their length before them.
    """

    tensor: Tensor
    dims: tuple[int, ...]
    data: bytes


def warmup_of(bundle: Bundle, served: Served) -> tuple[Sample, ...]:
    """The first golden sample of each input; empty where the bundle has none. Raises IntegrityError."""
    cases = bundle.golden()
    if not cases:
        return ()
    feeds = cases[0].inputs
    return tuple(_sample(tensor, feeds[tensor.name], is_batched=served.max_batch_size > 0) for tensor in served.inputs)


def _sample(tensor: Tensor, values: np.ndarray[Any, Any], *, is_batched: bool) -> Sample:
    one = values[0] if is_batched else values
    return Sample(tensor, tuple(one.shape) or (1,), _bytes_of(one))


def _bytes_of(values: np.ndarray[Any, Any] | Any) -> bytes:
    if values.dtype.kind in "OUST":
        return b"".join(struct.pack("<I", len(data)) + data for data in (str(text).encode() for text in values.flat))
    little = values.astype(values.dtype.newbyteorder("<"), copy=False)
    return bytes(little.tobytes())
