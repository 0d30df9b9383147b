"""Finds external data in an ONNX file by reading protobuf's wire format, without importing onnx or protobuf.

An unchanged rebuild needs the digest of its source and nothing else of it, and importing a framework for that would
take longer than the rest of the rebuild. Only the fields on the way to `TensorProto.external_data` are entered; all
others, the weights above all, are skipped by their length. Field numbers are those of onnx.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from mmap import mmap
from typing import TypeAlias

Buffer: TypeAlias = bytes | mmap

# Message kinds, and which fields of each lead to which other kind.
_MODEL, _GRAPH, _NODE, _ATTRIBUTE, _TENSOR, _SPARSE, _FUNCTION = range(7)
_CHILDREN = {
    _MODEL: {7: _GRAPH, 25: _FUNCTION},
    _GRAPH: {1: _NODE, 5: _TENSOR, 15: _SPARSE},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _SPARSE: {1: _TENSOR, 2: _TENSOR},
    _FUNCTION: {7: _NODE, 11: _ATTRIBUTE},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def external_locations(data: Buffer) -> tuple[str, ...]:
    """Every `location` that a tensor of this ONNX file names, sorted, each once; not checked in any way.

    Raises:
        ValueError: these bytes are not a well-formed protobuf message.
    """
    found: set[str] = set()
    waiting = [(_MODEL, 0, len(data))]
    while waiting:
        kind, start, end = waiting.pop()
        if kind == _TENSOR:
            found.update(_locations(data, start, end))
            continue
        children = _CHILDREN[kind]
        for number, wire, low, high in _fields(data, start, end):
            if wire == _BYTES and number in children:
                waiting.append((children[number], low, high))
    return tuple(sorted(found))


def _locations(data: Buffer, start: int, end: int) -> list[str]:
    """The locations that one TensorProto names, if its data is external at all."""
    external = False
    entries: list[str] = []
    for number, wire, low, high in _fields(data, start, end):
        if number == _DATA_LOCATION and wire == _VARINT:
            external = low == 1
        elif number == _EXTERNAL_DATA and wire == _BYTES:
            pair = {n: data[a:b] for n, w, a, b in _fields(data, low, high) if w == _BYTES}
            if pair.get(1) == b"location":
                entries.append(pair.get(2, b"").decode("utf-8"))
    return entries if external else []


def _fields(data: Buffer, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Fields of a message: number, wire type, and the range of its bytes (for a varint: its value, twice)."""
    at = start
    while at < end:
        tag, at = _varint(data, at, end)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at, end)
            yield number, wire, value, value
            continue
        if wire == _BYTES:
            size, at = _varint(data, at, end)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire} at byte {at}")
        if at + size > end:
            raise ValueError(f"field {number} ends behind its message, at byte {at + size}")
        yield number, wire, at, at + size
        at += size


def _varint(data: Buffer, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError(f"no end to the number at byte {at}")
