"""tar archives with the same bytes wherever and whenever: USTAR, sorted by the caller, owned by root, one time."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from edgetool.errors import ModelError

_FILE, _FOLDER, _PROGRAM = 0o644, 0o755, 0o755
_COPY = 1 << 20
_LARGEST = 8**11 - 1  # eleven octal digits


class Sink(Protocol):
    """Takes bytes one after the other: a file, or what compresses or hashes on the way to one."""

    def write(self, data: bytes | memoryview, /) -> object: ...


class Ustar:
    """Writes one archive to an open file. Use as a context manager; the end of the archive is written on exit.

    Args:
        file: takes the archive; must be done with what it is given when `write` returns.
        created: modification time of every member, seconds since 1970.
    """

    def __init__(self, file: Sink, *, created: int) -> None:
        self._file = file
        self._created = created
        self._size = 0
        self._folders: set[str] = set()
        self._buffer = memoryview(bytearray(_COPY))

    def __enter__(self) -> Ustar:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._write(bytes(2 * tarfile.BLOCKSIZE))
            self._write(bytes(-self._size % tarfile.RECORDSIZE))

    def add_file(self, name: str, path: Path, *, program: bool = False) -> None:
        """One file from the disk, after the folders above it."""
        with path.open("rb", buffering=0) as file:
            self._add(self._member(name, path.stat().st_size, program), file)

    def add_bytes(self, name: str, data: bytes, *, program: bool = False) -> None:
        """One file from memory, after the folders above it."""
        self._add(self._member(name, len(data), program), io.BytesIO(data))

    def add_folders(self, names: Iterable[str]) -> None:
        """Folders that are not in the archive yet, without a slash at the end."""
        for name in names:
            if name not in self._folders:
                self._folders.add(name)
                info = self._member(name, 0, program=True)
                info.type = tarfile.DIRTYPE
                info.mode = _FOLDER
                self._write_header(info)

    def _add(self, info: tarfile.TarInfo, file: io.RawIOBase | io.BytesIO) -> None:
        if info.size > _LARGEST:
            raise ModelError(
                "file-too-large",
                f"no USTAR archive can hold {info.name!r}: {info.size} bytes are more than {_LARGEST}",
                hint="split the weights into several files of external data",
            )
        parts = info.name.split("/")
        self.add_folders("/".join(parts[: index + 1]) for index in range(len(parts) - 1) if parts[index] != ".")
        self._write_header(info)
        left = info.size
        while left:
            count = file.readinto(self._buffer[: min(left, _COPY)])
            if not count:
                raise OSError(None, "the file became shorter while it was packaged", info.name)
            self._write(self._buffer[:count])
            left -= count
        self._write(bytes(-info.size % tarfile.BLOCKSIZE))

    def _write_header(self, info: tarfile.TarInfo) -> None:
        try:
            self._write(info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict"))
        except ValueError as error:
            raise ModelError(
                "name-too-long",
                f"no USTAR archive can hold the name {info.name!r}: {error}",
                hint="shorten the model's name, its version, or the names of its files",
            ) from error

    def _write(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self._size += len(data)

    def _member(self, name: str, size: int, program: bool) -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.size = size
        info.mtime = self._created
        info.mode = _PROGRAM if program else _FILE
        info.uname = info.gname = "root"
        return info
