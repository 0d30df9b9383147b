"""Writes an ONNX file whose weights never are in memory together.

Protobuf's own serializer wants the whole message as one object and needs up to three times its size on the way. The
wire format lets a message's fields stand in any order, so the graph without its large tensors is serialized first, and
the tensors follow it inside the same graph field, one at a time. The result is an ordinary ONNX file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

# Field number << 3 | length-delimited, from onnx.proto.
_MODEL_GRAPH = 7 << 3 | 2
_GRAPH_INITIALIZER = 5 << 3 | 2
_TENSOR_RAW_DATA = 9 << 3 | 2


@dataclass(frozen=True)
class LateTensor:
    """An initializer whose bytes are fetched when it is their turn.

    Attributes:
        head: the tensor without its data: name, shape, type.
        nbytes: how many bytes `fetch` will give.
        fetch: reads or computes the little-endian bytes of `raw_data`.
    """

    head: onnx.TensorProto
    nbytes: int
    fetch: Callable[[], bytes]


def write_model(file: IO[bytes], skeleton: onnx.ModelProto, tensors: Iterable[LateTensor]) -> None:
    """Write `skeleton` with `tensors` as further initializers of its graph.

    Args:
        file: open for writing.
        skeleton: the model without these initializers; its graph is taken out on the way.
        tensors: what the skeleton lacks.
    """
    late = [(tensor, tensor.head.SerializeToString(deterministic=True)) for tensor in tensors]
    prefixes = [_prefix(tensor, head) for tensor, head in late]
    graph = skeleton.graph.SerializeToString(deterministic=True)
    skeleton.ClearField("graph")
    size = len(graph) + sum(len(p) + tensor.nbytes for p, (tensor, _) in zip(prefixes, late, strict=True))
    file.write(skeleton.SerializeToString(deterministic=True))
    file.write(_varint(_MODEL_GRAPH) + _varint(size))
    file.write(graph)
    del graph
    for prefix, (tensor, _) in zip(prefixes, late, strict=True):
        block = tensor.fetch()
        if len(block) != tensor.nbytes:
            raise ValueError(f"tensor {tensor.head.name!r}: {len(block)} bytes instead of {tensor.nbytes}")
        file.write(prefix)
        file.write(block)


def _prefix(tensor: LateTensor, head: bytes) -> bytes:
    """Everything of the initializer's field that stands before its raw bytes."""
    raw = _varint(_TENSOR_RAW_DATA) + _varint(tensor.nbytes)
    return _varint(_GRAPH_INITIALIZER) + _varint(len(head) + len(raw) + tensor.nbytes) + head + raw


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
