"""Files on the device, kept under the digest of their content: sent once, whole or not at all."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edgetool.disk import host_errors
from edgetool.errors import ModelError
from edgetool_tensorrt.ssh.connection import Connection, Feed
from edgetool_tensorrt.ssh.scripts import script

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Parcel:
    """Files that belong together.

    Attributes:
        files: name on the device, which may lie in a folder, to the file here.
        listing: a line of sha256sum for each.
        size: bytes of all.
    """

    files: Mapping[str, Path]
    listing: str
    size: int

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.listing.encode()).hexdigest()

    @property
    def place(self) -> str:
        """The folder that holds the files, relative to edgetool's on the device."""
        return f"store/{self.digest}"


def parcel_of(files: Mapping[str, Path]) -> Parcel:
    """Read and hash the files.

    Raises:
        ModelError: `unsafe-external-data`: a name that sha256sum cannot list.
        HostError: a file cannot be read.
    """
    lines, size = [], 0
    for name, path in sorted(files.items()):
        if any(character in name for character in "\n\r\\"):
            raise ModelError(
                "unsafe-external-data",
                f"a file of the model is named {name!r}, which cannot be sent",
                where=str(path),
                hint="save the model with plain file names for its external data",
            )
        with host_errors(path), path.open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}")
        size += path.stat().st_size
    return Parcel(dict(sorted(files.items())), "\n".join(lines), size)


def upload(
    connection: Connection, folder: str, parcel: Parcel, *, sent: Callable[[int], None] = lambda size: None
) -> bool:
    """Make sure that the device holds the files; False if it held them already, byte for byte.

    Args:
        connection: to the device.
        folder: edgetool's there.
        parcel: the files.
        sent: told how many bytes were sent so far.

    Raises:
        HostError: `device-disk-full`; as `Connection.must`. Nothing half-written stays on the device.
        DeviceError: as `Connection.must`.
    """
    arguments = (folder, parcel.digest, parcel.listing)
    found = connection.must("looking for files", script("store_has"), *arguments, timeout=None)
    if found.text.strip() == "have":
        return False
    put = script("store_put")
    connection.must("sending files", put, *arguments, feed=tar_of(parcel.files, sent=sent), timeout=None)
    return True


def tar_of(files: Mapping[str, Path], *, sent: Callable[[int], None] = lambda size: None) -> Feed:
    """Writes the files as a tar, name to path."""

    def write(pipe: IO[bytes]) -> None:
        done = 0
        with tarfile.open(fileobj=pipe, mode="w|", bufsize=_BLOCK, format=tarfile.GNU_FORMAT) as tar:
            for name, path in files.items():
                member = tarfile.TarInfo(name)
                member.size, member.mode = path.stat().st_size, 0o600
                with host_errors(path), path.open("rb") as file:
                    tar.addfile(member, _Counted(file, done, sent))
                done += member.size

    return write


class _Counted:
    """A file that tells how far it has been read."""

    def __init__(self, file: IO[bytes], before: int, sent: Callable[[int], None]) -> None:
        self._file = file
        self._before = before
        self._sent = sent

    def read(self, size: int = -1) -> bytes:
        self._sent(self._before + self._file.tell())
        return self._file.read(size)
