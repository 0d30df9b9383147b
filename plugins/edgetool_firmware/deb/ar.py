"""The `ar` archive that a Debian package is: members one after the other, owned by root, of one time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

_MAGIC = b"!<arch>\n"
_HEADER = 60
MAX_SIZE = 10**10 - 1
"""Bytes of a member: the header has ten digits."""


class Ar:
    """Writes an archive to an open, seekable file.

    Args:
        file: open for writing, empty.
        created: time of every member, seconds since 1970.
    """

    def __init__(self, file: IO[bytes], *, created: int) -> None:
        self._file = file
        self._created = created
        file.write(_MAGIC)

    def add(self, name: str, data: bytes) -> None:
        """One member from memory."""
        with self.member(name) as file:
            file.write(data)

    @contextmanager
    def member(self, name: str) -> Iterator[IO[bytes]]:
        """One member of a size that is known when the block ends; at most `MAX_SIZE`."""
        start = self._file.tell()
        self._file.write(self._header(name, 0))
        yield self._file
        end = self._file.tell()
        size = end - start - _HEADER
        self._file.seek(start)
        self._file.write(self._header(name, size))
        self._file.seek(end)
        self._file.write(b"\n" * (size % 2))

    def _header(self, name: str, size: int) -> bytes:
        return f"{name:<16}{self._created:<12}{0:<6}{0:<6}{100644:<8}{size:<10}`\n".encode()
