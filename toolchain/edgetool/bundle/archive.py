"""Writes an archived bundle: one file with all of a bundle, its weights coded by how often their values occur.

docs/reference/archive-format.md describes the format; `unpack.py` restores it.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edgetool.bundle.archive_coding import Coded, code
from edgetool.bundle.archive_index import FOOTER, MAGIC, MAX_SEGMENT, SCHEMA_VERSION, ArchivedFile, Segment
from edgetool.bundle.read import Bundle
from edgetool.bundle.verify import MEASUREMENTS
from edgetool.disk import host_errors, written_aside
from edgetool.errors import ConfigError, IntegrityError

SUFFIX = ".edgearchive"

_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 8 << 20}]
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Share:
    """What a file of the bundle takes in the archive.

    Attributes:
        path: in the bundle.
        size: its bytes.
        packed: its bytes in the archive; what it takes of the stream that all files share is estimated.
    """

    path: str
    size: int
    packed: int


@dataclass(frozen=True, slots=True)
class Archived:
    """An archive in its place.

    Attributes:
        path: the file.
        content_digest: of the bundle.
        size: bytes of the archive.
        shares: of the bundle's files, the largest first.
    """

    path: Path
    content_digest: str
    size: int
    shares: tuple[Share, ...]


def write_archive(bundle: Bundle, destination: Path) -> Archived:
    """Archive a bundle that was checked. Equal bundles give equal bytes.

    Memory stays within some times `MAX_SEGMENT` and what the files have in one stream, packed.

    Raises:
        ConfigError: something that is no archive is at `destination`.
        IntegrityError: a file of the bundle changed meanwhile.
        HostError: disk full, permission denied.
    """
    _refuse_to_overwrite(destination)
    files = _files(bundle)
    writing = _Writing(files)
    with host_errors(destination):
        destination.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(destination) as file:
        sink = _Hashed(file)
        sink.write(MAGIC)
        for archived in files:
            for coded in _coded_file(bundle, archived):
                sink.write(coded.data)
                writing.add(archived, coded)
        rest = writing.packed_rest()
        sink.write(rest)
        index = _index_bytes(bundle, files, writing.segments, len(rest))
        start = sink.size
        sink.write(index)
        sink.write(FOOTER.pack(start, len(index), b"")[: -hashlib.sha256().digest_size])
        sink.write(sink.digest())
    return Archived(destination, bundle.content_digest, sink.size, writing.shares(len(rest)))


class _Hashed:
    """A file that is written, its size and the hash over it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.size = 0
        self._file = file
        self._hash = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    def digest(self) -> bytes:
        return self._hash.digest()


class _Writing:
    """Collects the segments of all files, and the one stream that holds what they have in common."""

    def __init__(self, files: Sequence[ArchivedFile]) -> None:
        self.segments: list[Segment] = []
        self._packer = lzma.LZMACompressor(lzma.FORMAT_XZ, lzma.CHECK_NONE, filters=_FILTERS)
        self._packed: list[bytes] = []
        self._last: ArchivedFile | None = None
        self._own = dict.fromkeys(files, 0)
        self._shared = dict.fromkeys(files, 0)

    def add(self, file: ArchivedFile, coded: Coded) -> None:
        """Append a segment; segments without a code of their own grow together."""
        before = self.segments[-1] if file is self._last else None
        if before and before.width == coded.segment.width == 0 and before.size + coded.segment.size <= MAX_SEGMENT:
            self.segments[-1] = Segment(before.size + coded.segment.size)
        else:
            self.segments.append(coded.segment)
        self._last = file
        self._packed.append(self._packer.compress(coded.rest))
        self._own[file] += len(coded.data)
        self._shared[file] += len(zlib.compress(coded.rest, 1))

    def packed_rest(self) -> bytes:
        return b"".join((*self._packed, self._packer.flush()))

    def shares(self, rest: int) -> tuple[Share, ...]:
        """For people: what every file takes."""
        total = sum(self._shared.values()) or 1
        shares = (
            Share(file.path, file.size, own + round(rest * self._shared[file] / total))
            for file, own in self._own.items()
        )
        return tuple(sorted(shares, key=lambda share: (-share.size, share.path)))


def _files(bundle: Bundle) -> list[ArchivedFile]:
    """All files of a bundle, texts first, so that their words are found in each other."""
    listed = [record.path for record in bundle.manifest.files]
    measured = [MEASUREMENTS] if (bundle.path / MEASUREMENTS).is_file() else []
    paths = sorted([*listed, "manifest.json", *measured], key=lambda path: (not path.endswith(".json"), path))
    with host_errors(bundle.path):
        return [ArchivedFile(path, (bundle.path / path).stat().st_size) for path in paths]


def _coded_file(bundle: Bundle, file: ArchivedFile) -> Iterator[Coded]:
    import numpy as np

    digest, size = hashlib.sha256(), 0
    with (bundle.path / file.path).open("rb") as handle:
        while window := handle.read(MAX_SEGMENT):
            digest.update(window)
            size += len(window)
            yield from code(np.frombuffer(window, np.uint8))
    wanted = {record.path: record.sha256 for record in bundle.manifest.files}.get(file.path, digest.hexdigest())
    if size != file.size or digest.hexdigest() != wanted:
        raise IntegrityError(
            "bundle-damaged",
            "a file changed while it was archived",
            where=str(bundle.path / file.path),
            hint="archive the bundle again when nobody writes into it",
        )


def _index_bytes(bundle: Bundle, files: Sequence[ArchivedFile], segments: Sequence[Segment], rest: int) -> bytes:
    document = {
        "schema_version": SCHEMA_VERSION,
        "name": bundle.path.absolute().name,
        "content_digest": bundle.content_digest,
        "rest": rest,
        "files": [{"path": file.path, "size": file.size} for file in files],
        "segments": [_row(segment) for segment in segments],
    }
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return lzma.compress(text.encode(), lzma.FORMAT_XZ, lzma.CHECK_NONE, filters=_FILTERS)


def _row(segment: Segment) -> dict[str, object]:
    row: dict[str, object] = {"size": segment.size}
    if segment.width:
        row |= {"width": segment.width, "streams": list(segment.streams)}
    if segment.palette:
        row["palette"] = segment.palette
    if segment.filled is not None:
        row["filled"] = segment.filled
    return row


def _refuse_to_overwrite(destination: Path) -> None:
    """An archive may be written again; nothing else is replaced."""
    if not destination.exists() and not destination.is_symlink():
        return
    if destination.is_file() and not destination.is_symlink():
        with host_errors(destination), destination.open("rb") as file:
            if file.read(len(MAGIC)) in (MAGIC, b""):
                return
    raise ConfigError(
        "archive-place-taken",
        "something that is no archive is in the place of the archive",
        where=str(destination),
        hint="move it away, or choose another file with --output",
    )
