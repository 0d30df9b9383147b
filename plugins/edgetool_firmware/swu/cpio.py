"""cpio archives of the kind that SWUpdate reads: "newc" with checksums, flat, each member aligned to four bytes."""

from __future__ import annotations

from pathlib import Path
from typing import IO

LARGEST = 2**32 - 1
"""Bytes of a member: its size has eight hexadecimal digits."""

_MAGIC = b"070702"
_MODE = 0o100644
_END = "TRAILER!!!"
_BLOCK = 512
_COPY = 1 << 20


class Cpio:
    """Writes one archive to an open file. Use as a context manager; the end of the archive is written on exit.

    Args:
        file: open for writing, seekable: a member's checksum is known once it was copied, and stands before it.
        created: modification time of every member, seconds since 1970.
    """

    def __init__(self, file: IO[bytes], *, created: int) -> None:
        self._file = file
        self._created = created
        self._members = 0

    def __enter__(self) -> Cpio:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._file.write(self._header(_END, 0, 0, links=1, mode=0, created=0))
            self._pad(_BLOCK)

    def add_bytes(self, name: str, data: bytes) -> None:
        """One member from memory."""
        self._file.write(self._member(name, len(data), _sum(data)))
        self._file.write(data)
        self._pad(4)

    def add_file(self, name: str, path: Path) -> None:
        """One member from the disk, of at most `LARGEST` bytes."""
        size, checksum, start = path.stat().st_size, 0, self._file.tell()
        header = self._member(name, size, 0)
        self._file.write(header)
        with path.open("rb") as source:
            while data := source.read(_COPY):
                self._file.write(data)
                checksum += _sum(data)
        self._pad(4)
        end = self._file.tell()
        self._file.seek(start + len(_MAGIC) + 12 * 8)
        self._file.write(b"%08X" % (checksum & LARGEST))
        self._file.seek(end)

    def _member(self, name: str, size: int, checksum: int) -> bytes:
        self._members += 1
        return self._header(name, size, checksum, links=1, mode=_MODE, created=self._created)

    def _header(self, name: str, size: int, checksum: int, *, links: int, mode: int, created: int) -> bytes:
        encoded = name.encode() + b"\0"
        inode = self._members if mode else 0
        fields = (inode, mode, 0, 0, links, created, size, 0, 0, 0, 0, len(encoded), checksum)
        header = _MAGIC + b"".join(b"%08X" % field for field in fields) + encoded
        return header + bytes(-len(header) % 4)

    def _pad(self, block: int) -> None:
        self._file.write(bytes(-self._file.tell() % block))


def _sum(data: bytes) -> int:
    import numpy as np

    return int(np.frombuffer(data, np.uint8).sum(dtype=np.uint64))
