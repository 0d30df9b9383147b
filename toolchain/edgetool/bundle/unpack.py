"""Restores an archived bundle, byte for byte. Needs nothing but Python's standard library, and trusts nothing it reads.

Runs as `edgetool unpack ARCHIVE`, and on a device that has Python and five files of edgetool: `__init__.py`, and in
`bundle/` `__init__.py`, `verify.py`, `archive_index.py` and this one: `python3 -S -m edgetool.bundle.unpack`.
"""

from __future__ import annotations

import argparse
import itertools
import lzma
import shutil
import sys
import zlib
from pathlib import Path
from typing import IO, Literal

from edgetool.bundle.archive_index import (
    MAGIC,
    MAX_MEMORY,
    DamagedArchiveError,
    Index,
    Segment,
    read_index,
)
from edgetool.bundle.verify import verify

MAX_SIZE = 16 << 30
"""Bytes that an archive may restore, unless the caller allows more."""

_KINDS: dict[int, Literal["B", "H", "I"]] = {1: "B", 2: "H", 4: "I"}
_FAULTY, _UNUSABLE = 7, 2


class TooLargeError(Exception):
    """An archive says that it restores more than the caller allows."""

    def __init__(self, size: int, most: int) -> None:
        super().__init__(f"it restores {size} bytes, and {most} are allowed")
        self.size = size


def restore(archive: IO[bytes], index: Index, folder: Path) -> None:
    """Write every file of an archive into an empty folder.

    Memory stays within some times `MAX_SEGMENT`, and no more is written than the index says.

    Raises:
        DamagedArchiveError: the data do not fit the index.
        OSError: the disk is full, or forbids it.
    """
    data = _Region(archive, len(MAGIC), index.end - index.rest)
    rest = _Rest(_Region(archive, index.end - index.rest, index.end))
    segments = iter(index.segments)
    for file in index.files:
        target = folder / file.path
        _make_folders(target.parent, folder)
        with target.open("xb") as handle:
            left = file.size
            while left:
                segment = next(segments)
                handle.write(_decoded(segment, data, rest))
                left -= segment.size
        target.chmod(0o644)
    if not (data.is_empty and rest.is_empty):
        raise DamagedArchiveError("it holds more than its index says")


class _Region:
    """A part of a file, read from its beginning to its end."""

    def __init__(self, file: IO[bytes], start: int, end: int) -> None:
        self._file = file
        self._at = start
        self._end = end

    @property
    def is_empty(self) -> bool:
        return self._at == self._end

    def read(self, size: int) -> bytes:
        """Exactly so many bytes."""
        if size > self._end - self._at:
            raise DamagedArchiveError("a stream reaches over the end")
        self._file.seek(self._at)
        self._at += size
        data = self._file.read(size)
        if len(data) != size:
            raise DamagedArchiveError("it was cut short")
        return data

    def read_some(self) -> bytes:
        """Up to 64 KiB; fewer at the end."""
        return self.read(min(1 << 16, self._end - self._at))


class _Rest:
    """The one xz stream of everything that no other code suits."""

    def __init__(self, region: _Region) -> None:
        self._region = region
        self._unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_MEMORY)

    @property
    def is_empty(self) -> bool:
        return not self._take(1) and self._region.is_empty

    def read(self, size: int) -> bytes:
        """Exactly so many bytes."""
        parts = []
        while size:
            part = self._take(size)
            if not part:
                raise DamagedArchiveError("the rest stream ends early")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _take(self, most: int) -> bytes:
        try:
            while not self._unpacker.eof:
                given = self._region.read_some() if self._unpacker.needs_input else b""
                part = self._unpacker.decompress(given, most)
                if part or (self._unpacker.needs_input and self._region.is_empty):
                    return part
        except (lzma.LZMAError, MemoryError) as error:
            raise DamagedArchiveError(f"the rest stream cannot be read: {error}") from error
        return b""


def _decoded(segment: Segment, data: _Region, rest: _Rest) -> bytes | bytearray:
    if segment.width == 0:
        return rest.read(segment.size)
    words = segment.size // segment.width
    width = 1 if segment.palette else segment.width
    palette = rest.read(segment.palette * segment.width)
    stored = words if segment.filled is None else segment.filled
    symbols = bytearray(stored * width)
    for place in range(width):
        symbols[place::width] = _inflated(data.read(segment.streams[place]), stored)
    if segment.filled is not None:
        fill = rest.read(width)
        symbols = _scattered(symbols, _inflated(data.read(segment.streams[width]), stored), fill, words)
    return _painted(symbols, palette, segment.width) if segment.palette else symbols


def _inflated(packed: bytes, size: int) -> bytes:
    """What a deflate stream holds, which has to be exactly so much."""
    if size == 0:
        return b""
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        plain = unpacker.decompress(packed, size)
        more = unpacker.decompress(unpacker.unconsumed_tail, 1) if not unpacker.eof else b""
    except zlib.error as error:
        raise DamagedArchiveError(f"a stream cannot be read: {error}") from error
    if len(plain) != size or more or not unpacker.eof or unpacker.unused_data:
        raise DamagedArchiveError("a stream does not hold as much as the index says")
    return plain


def _scattered(stored: bytearray, gaps: bytes, fill: bytes, words: int) -> bytearray:
    """Words at their places among copies of `fill`; each gap is the distance from the word before."""
    restored = bytearray(fill * words)
    kind = _KINDS[len(fill)]
    places = itertools.accumulate(gaps, initial=-1)
    next(places)
    with memoryview(restored).cast(kind) as there, memoryview(stored).cast(kind) as here:
        try:
            for place, word in zip(places, here, strict=True):
                there[place] = word
        except IndexError as error:
            raise DamagedArchiveError("a word lies behind the end of its segment") from error
    return restored


def _painted(indices: bytearray, palette: bytes, width: int) -> bytearray:
    """The words that indices into a palette stand for."""
    if indices and max(indices) >= len(palette) // width:
        raise DamagedArchiveError("an index points behind the end of its palette")
    restored = bytearray(len(indices) * width)
    for place in range(width):
        restored[place::width] = indices.translate(palette[place::width].ljust(256, b"\0"))
    return restored


def _make_folders(folder: Path, top: Path) -> None:
    for path in reversed([folder, *folder.parents]):
        if path != top and path.is_relative_to(top) and not path.is_dir():
            path.mkdir()
            path.chmod(0o755)


def unpack(archive: Path, folder: Path, *, max_size: int = MAX_SIZE) -> Index:
    """Restore a bundle into an empty folder, and check it.

    Raises:
        DamagedArchiveError: the archive, or what came out of it, is not what was recorded.
        TooLargeError: it restores more than `max_size` bytes.
        OSError: a file cannot be read or written.
    """
    with archive.open("rb") as file:
        index = read_index(file)
        if index.size > max_size:
            raise TooLargeError(index.size, max_size)
        restore(file, index, folder)
    outcome = verify(folder, digest=index.content_digest)
    if not outcome.sound:
        raise DamagedArchiveError("; ".join(map(str, outcome.faults[:5])))
    return index


def main(arguments: list[str] | None = None) -> int:
    """The command line of a device. Returns 0 when the bundle is restored, 7 when it is not what was archived."""
    parser = argparse.ArgumentParser(prog="unpack", description="Restore an archived bundle.")
    parser.add_argument("archive", type=Path, help="the file NAME.edgearchive")
    parser.add_argument("folder", type=Path, help="the bundle's folder, which must not exist")
    parser.add_argument("--max-size", type=int, default=MAX_SIZE, metavar="BYTES", help="the most that is restored")
    options = parser.parse_args(arguments)
    try:
        options.folder.mkdir()
    except OSError as error:
        print(f"{options.folder}: {error.strerror}", file=sys.stderr)
        return _UNUSABLE
    try:
        index = unpack(options.archive, options.folder, max_size=options.max_size)
    except (DamagedArchiveError, TooLargeError, OSError) as error:
        shutil.rmtree(options.folder, ignore_errors=True)
        print(f"{options.archive}: {error}", file=sys.stderr)
        return _UNUSABLE if isinstance(error, OSError) else _FAULTY
    print(f"{options.folder}: {len(index.files)} files, {index.size} bytes, content {index.content_digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
