"""Writes a folder beside its place and moves it there at the end: what is seen is the old one or the new one."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgetool.errors import HostError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_OCCUPIED = (errno.ENOTEMPTY, errno.EEXIST)
_SUFFIX = ".part"
_TRIES = 20


@contextmanager
def replaced_folder(destination: Path) -> Iterator[Path]:
    """An empty folder that takes the place of `destination` when the block ends without an error.

    Until then an old `destination` stays as it is. What a killed process left behind is cleared by the next one:
    a folder that is being written is locked by its writer, and the lock dies with it.

    Raises:
        HostError: disk full, permission denied, or another failure of the file system; nothing half-written stays.
    """
    prefix = f".{destination.name}."
    with host_errors(destination):
        destination.parent.mkdir(parents=True, exist_ok=True)
        _clear_abandoned(destination.parent, prefix)
        part, lock = _locked_part(destination.parent, prefix)
        try:
            inside = part / "new"
            inside.mkdir()
            inside.chmod(0o755)
            yield inside
            _swap_in(inside, destination, part / "old")
        finally:
            shutil.rmtree(part, ignore_errors=True)
            os.close(lock)


def replace_file(path: Path, data: bytes) -> None:
    """Write a file aside and rename it into place. Raises HostError."""
    with host_errors(path):
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_SUFFIX)
        try:
            with os.fdopen(descriptor, "wb") as handle:
                handle.write(data)
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


@contextmanager
def host_errors(path: Path) -> Iterator[None]:
    """Turns what the file system refuses into a HostError that says what to do."""
    try:
        yield
    except OSError as error:
        where = str(error.filename or path)
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            raise HostError(
                "disk-full", f"cannot write: {reason}", where=where, hint="free some space, then run again"
            ) from error
        if error.errno in _FORBIDDEN:
            hint = "choose another --output folder, or change its permissions"
            raise HostError("permission-denied", f"cannot write: {reason}", where=where, hint=hint) from error
        raise HostError(
            "write-failed", f"cannot write: {reason}", where=where, hint="look at the disk, then run again"
        ) from error


def _locked_part(folder: Path, prefix: str) -> tuple[Path, int]:
    """A private folder, and the descriptor that holds its lock."""
    while True:
        part = Path(tempfile.mkdtemp(dir=folder, prefix=prefix, suffix=_SUFFIX))
        try:
            lock = os.open(part, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue  # taken for abandoned before it was locked
        fcntl.flock(lock, fcntl.LOCK_EX)
        if part.is_dir():
            return part, lock
        os.close(lock)


def _swap_in(new: Path, destination: Path, old: Path) -> None:
    """Rename, after moving away what is there; another process may do the same at the same time."""
    for _ in range(_TRIES):
        try:
            new.rename(destination)
            return
        except OSError as error:
            if error.errno not in _OCCUPIED:
                if old.is_dir() and not destination.exists():
                    old.rename(destination)
                raise
        shutil.rmtree(old, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):  # somebody else moved it
            destination.rename(old)
    raise OSError(errno.EBUSY, "other processes keep writing to it", str(destination))


def _clear_abandoned(folder: Path, prefix: str) -> None:
    for part in folder.glob(f"{prefix}*{_SUFFIX}"):
        try:
            lock = os.open(part, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(part, ignore_errors=True)
        except BlockingIOError:
            pass  # its writer is alive
        finally:
            os.close(lock)
