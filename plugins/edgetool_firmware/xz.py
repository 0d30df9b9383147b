"""Writes one .xz stream with all processors: blocks of equal length, compressed apart, under one index.

The bytes depend on the level and on the data alone, never on how many processors there were. Decoders need nothing
special: a stream of several blocks is what `xz -T0` and dpkg-deb write, too (The .xz File Format 1.2, tukaani.org).
"""

from __future__ import annotations

import lzma
import os
import struct
import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, Self

_CHECK = lzma.CHECK_CRC32  # what dpkg-deb writes, and the one check that every decoder knows
_FLAGS = bytes([0, _CHECK])
_HEADER = b"\xfd7zXZ\0" + _FLAGS + struct.pack("<I", zlib.crc32(_FLAGS))
_EDGE = 12  # bytes of a stream's header, and of its footer
_BLOCK = 4 << 20
_DICTIONARY = {0: 1 << 18, 1: 1 << 20, 2: 1 << 21, 3: 1 << 22, 4: 1 << 22, 5: 1 << 23, 6: 1 << 23}
_WORKERS = 8  # each takes up to 100 MB at level 6

LEVELS = range(7)


@dataclass(frozen=True, slots=True)
class _Block:
    data: bytes
    unpadded: int
    size: int


class XzWriter:
    """A file to write into; what arrives is compressed into another one, from start to end.

    Use as a context manager; the stream is complete when it ends without an error.

    Args:
        file: open for writing, not necessarily seekable.
        level: 0 is the fastest, 6 what `xz` takes by default.
    """

    def __init__(self, file: IO[bytes], *, level: int) -> None:
        self._file = file
        self._level = level
        self._length = max(_BLOCK, _DICTIONARY[level])  # short, so that an interrupt need not wait for long
        self._buffer = bytearray()
        self._workers = min(_WORKERS, len(os.sched_getaffinity(0)))
        self._pool = ThreadPoolExecutor(self._workers, "xz")  # liblzma works without the interpreter's lock
        self._pending: deque[Future[_Block]] = deque()
        self._records: list[_Block] = []

    def __enter__(self) -> Self:
        self._file.write(_HEADER)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def write(self, data: bytes | memoryview) -> int:
        """Take some more. Raises OSError where the file refuses what is ready."""
        self._buffer += data
        while len(self._buffer) >= self._length:
            self._submit(bytes(self._buffer[: self._length]))
            del self._buffer[: self._length]
        return len(data)

    def _submit(self, data: bytes) -> None:
        if len(self._pending) > self._workers:
            self._store(self._pending.popleft().result())
        self._pending.append(self._pool.submit(_compress, data, self._level))

    def _store(self, block: _Block) -> None:
        self._file.write(block.data)
        self._records.append(_Block(b"", block.unpadded, block.size))

    def _finish(self) -> None:
        if self._buffer:
            self._submit(bytes(self._buffer))
        while self._pending:
            self._store(self._pending.popleft().result())
        rows = b"".join(_number(row.unpadded) + _number(row.size) for row in self._records)
        index = b"\0" + _number(len(self._records)) + rows
        index += bytes(-len(index) % 4)
        index += struct.pack("<I", zlib.crc32(index))
        tail = struct.pack("<I", len(index) // 4 - 1) + _FLAGS
        self._file.write(index + struct.pack("<I", zlib.crc32(tail)) + tail + b"YZ")


def _compress(data: bytes, level: int) -> _Block:
    """The one block of a stream of its own."""
    stream = lzma.compress(data, lzma.FORMAT_XZ, _CHECK, level)
    (backward,) = struct.unpack_from("<I", stream, len(stream) - 8)
    start = len(stream) - _EDGE - (backward + 1) * 4
    unpadded, _ = _read_number(stream, start + 2)  # after the index's mark, and the number of its records: 1
    return _Block(stream[_EDGE:start], unpadded, len(data))


def _number(value: int) -> bytes:
    """Seven bits a byte, the lowest first, all but the last with the top bit set."""
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _read_number(data: bytes, start: int) -> tuple[int, int]:
    """Inverse of `_number`, and where it ends."""
    value = shift = 0
    while True:
        byte = data[start]
        value |= (byte & 0x7F) << shift
        start, shift = start + 1, shift + 7
        if byte < 0x80:
            return value, start
