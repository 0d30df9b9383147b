"""tar archives with the same bytes wherever and whenever: USTAR, sorted by the caller, owned by root, one time."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from edgetool.errors import ModelError

_FILE, _FOLDER, _PROGRAM = 0o644, 0o755, 0o755
_COPY = 1 << 20


class Ustar:
    """Writes one archive to an open file. Use as a context manager; the end of the archive is written on exit.

    Args:
        file: open for writing, not necessarily seekable.
        created: modification time of every member, seconds since 1970.
    """

    def __init__(self, file: IO[bytes], *, created: int) -> None:
        self._created = created
        self._tar = tarfile.open(fileobj=file, mode="w|", format=tarfile.USTAR_FORMAT, bufsize=_COPY)  # noqa: SIM115
        self._folders: set[str] = set()

    def __enter__(self) -> Ustar:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._tar.close()

    def add_file(self, name: str, path: Path, *, program: bool = False) -> None:
        """One file from the disk, after the folders above it."""
        with path.open("rb") as file:
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
                self._tar.addfile(info)

    def _add(self, info: tarfile.TarInfo, file: IO[bytes]) -> None:
        parts = info.name.split("/")
        self.add_folders("/".join(parts[: index + 1]) for index in range(len(parts) - 1) if parts[index] != ".")
        try:
            self._tar.addfile(info, file)
        except ValueError as error:
            raise ModelError(
                "name-too-long",
                f"no USTAR archive can hold the name {info.name!r}: {error}",
                hint="shorten the model's name, its version, or the names of its files",
            ) from error

    def _member(self, name: str, size: int, program: bool) -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.size = size
        info.mtime = self._created
        info.mode = _PROGRAM if program else _FILE
        info.uname = info.gname = "root"
        return info
