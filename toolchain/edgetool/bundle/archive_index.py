"""The index of an archived bundle: which files it holds, and how their bytes are coded. Trusts nothing that it reads.

Needs nothing but Python's standard library. docs/reference/archive-format.md describes the format.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from edgetool.bundle.verify import MAX_FILES, MAX_JSON, path_fault

MAGIC = b"EDGEARC\x01"
FOOTER = struct.Struct("<QQ32s")
"""At the end: where the index lies, its packed length, and the sha256 of everything before this hash."""
SCHEMA_VERSION = 1
MAX_SEGMENT = 4 << 20
MAX_MEMORY = 64 << 20
WIDTHS = (0, 1, 2, 4)

_MOST = 1 << 44  # bytes that any size may be
_CHUNK = 1 << 20
_HASH = 32


class DamagedArchiveError(Exception):
    """An archive is not what its writer wrote, or was never one."""


@dataclass(frozen=True)
class ArchivedFile:
    """One file: its path in the bundle, and its bytes."""

    path: str
    size: int


@dataclass(frozen=True)
class Segment:
    """Bytes of one file that were coded alike.

    Attributes:
        size: bytes that it restores.
        width: bytes of a word; 0 for bytes that stand in the rest stream as they are.
        palette: how many different words there are, listed in the rest stream; 0 where words stand for themselves.
        filled: how many words are *not* the most frequent one, if gaps between them are stored; None for all.
        streams: packed lengths, one stream a byte of a word (one in all with a palette), then that of the gaps.
    """

    size: int
    width: int = 0
    palette: int = 0
    filled: int | None = None
    streams: tuple[int, ...] = ()


@dataclass(frozen=True)
class Index:
    """What an archive holds.

    Attributes:
        name: of the bundle's folder.
        content_digest: of the bundle.
        files: in the order of their bytes.
        segments: all of them, in that order; none reaches over the end of a file.
        rest: packed length of the rest stream.
        end: where the rest stream ends and the index begins.
    """

    name: str
    content_digest: str
    files: tuple[ArchivedFile, ...]
    segments: tuple[Segment, ...]
    rest: int
    end: int

    @property
    def size(self) -> int:
        """Bytes that are restored."""
        return sum(file.size for file in self.files)


def read_index(archive: IO[bytes]) -> Index:
    """Check the hash over the whole archive, then parse its index.

    Raises:
        DamagedArchiveError: anything is not as it was written, or nothing ever wrote it.
    """
    start, packed = _place(archive)
    archive.seek(start)
    document = _parsed(_unpacked_index(archive.read(packed)))
    try:
        index = _index(document, start)
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedArchiveError(f"the index is not valid: {str(error)[:200]}") from error
    _check_layout(index)
    return index


def files_of(index: Index) -> Iterator[tuple[ArchivedFile, tuple[Segment, ...]]]:
    """Every file with its segments."""
    segments = iter(index.segments)
    for file in index.files:
        mine, left = [], file.size
        while left:
            mine.append(next(segments))
            left -= mine[-1].size
        yield file, tuple(mine)


def _place(archive: IO[bytes]) -> tuple[int, int]:
    """Where the index lies, and its packed length, once the hash over the whole archive is checked."""
    end = archive.seek(0, os.SEEK_END)
    archive.seek(0)
    if archive.read(len(MAGIC)) != MAGIC:
        raise DamagedArchiveError("it is no archive of a bundle")
    if end < len(MAGIC) + FOOTER.size:
        raise DamagedArchiveError("it was cut short")
    archive.seek(end - FOOTER.size)
    start, packed, digest = FOOTER.unpack(archive.read(FOOTER.size))
    if start < len(MAGIC) or start + packed != end - FOOTER.size or packed > MAX_JSON:
        raise DamagedArchiveError("it was cut short, or something was added to it")
    if _sha256(archive, end - _HASH) != digest:
        raise DamagedArchiveError("its bytes are not those that were written")
    return start, packed


def _sha256(archive: IO[bytes], end: int) -> bytes:
    digest = hashlib.sha256()
    archive.seek(0)
    while end and (chunk := archive.read(min(_CHUNK, end))):
        digest.update(chunk)
        end -= len(chunk)
    return digest.digest()


def _unpacked_index(packed: bytes) -> bytes:
    unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_MEMORY)
    try:
        plain = unpacker.decompress(packed, MAX_JSON + 1)
    except (lzma.LZMAError, MemoryError) as error:
        raise DamagedArchiveError(f"the index cannot be read: {error}") from error
    if len(plain) > MAX_JSON:
        raise DamagedArchiveError(f"the index is larger than {MAX_JSON >> 20} MiB")
    return plain


def _parsed(data: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DamagedArchiveError(f"the index is not valid JSON: {str(error)[:200]}") from error
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION:
        raise DamagedArchiveError(f"its index has schema version {str(version)[:20]}, this program knows 1")
    return document  # type: ignore[no-any-return] # json.loads says Any; it was checked above


def _index(document: Mapping[str, Any], end: int) -> Index:
    files = tuple(ArchivedFile(str(row["path"]), _count(row["size"], _MOST)) for row in document["files"])
    for file in files:
        if reason := path_fault(file.path):
            raise ValueError(f"{file.path[:80]!r}: {reason}")
    names = {file.path for file in files}
    if len(names) != len(files) or len(files) > MAX_FILES:
        raise ValueError("a path occurs twice, or there are too many files")
    if any(str(parent) in names for name in names for parent in Path(name).parents):
        raise ValueError("a file is where a folder has to be")
    name = str(document["name"])
    if "/" in name or path_fault(name):
        raise ValueError(f"{name[:80]!r} is not the name of a folder")
    segments = tuple(_segment(row) for row in document["segments"])
    return Index(name, str(document["content_digest"]), files, segments, _count(document["rest"], _MOST), end)


def _segment(row: Mapping[str, Any]) -> Segment:
    segment = Segment(
        size=_count(row["size"], MAX_SEGMENT),
        width=_count(row.get("width", 0), 4),
        palette=_count(row.get("palette", 0), 256),
        filled=None if row.get("filled") is None else _count(row["filled"], MAX_SEGMENT),
        streams=tuple(_count(length, 2 * MAX_SEGMENT) for length in row.get("streams", ())),
    )
    if segment.size == 0 or segment.width not in WIDTHS:
        raise ValueError("a segment of nothing, or of words of unknown width")
    if segment.width == 0:
        if segment.palette or segment.streams or segment.filled is not None:
            raise ValueError("a segment of the rest stream with a code of its own")
    else:
        planes = (1 if segment.palette else segment.width) + (segment.filled is not None)
        if segment.size % segment.width or len(segment.streams) != planes:
            raise ValueError("a segment whose parts do not fit together")
        if segment.filled is not None and segment.filled > segment.size // segment.width:
            raise ValueError("a segment with more words than it has room for")
    return segment


def _count(value: object, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError(f"{str(value)[:40]!r} is not a whole number up to {most}")
    return value


def _check_layout(index: Index) -> None:
    """Segments have to end where files end, and the streams have to fill the archive."""
    segments = iter(index.segments)
    for file in index.files:
        left = file.size
        while left:
            segment = next(segments, None)
            if segment is None or segment.size > left:
                raise DamagedArchiveError(f"the segments do not fit {file.path!r}")
            left -= segment.size
    if next(segments, None) is not None:
        raise DamagedArchiveError("there are more segments than files to fill")
    if len(MAGIC) + sum(sum(segment.streams) for segment in index.segments) + index.rest != index.end:
        raise DamagedArchiveError("the streams are not as long as the index says")
