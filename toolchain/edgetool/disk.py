"""Writing so that nobody ever sees half of it, and the file system's refusals as errors that say what to do.

What is written lies in a private folder beside its place until it is whole, then takes its place by one rename. That
folder is locked by its writer, and the lock dies with it: what a killed process left behind is cleared by the next
writer of the same place.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from edgetool.errors import HostError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_OCCUPIED = frozenset({errno.ENOTEMPTY, errno.EEXIST})
_HINTS = {
    errno.EMFILE: "raise the limit of open files: ulimit -n 1024",
    errno.ENFILE: "the whole system has too many files open: end other programs",
    errno.EAGAIN: "raise the limit of processes (ulimit -u), or end other programs",
    errno.ENOENT: "a folder of this path is gone or cannot be made: change into one that exists, or choose one with "
    "--output, EDGETOOL_CACHE_DIR or TMPDIR",
    errno.ENAMETOOLONG: "choose shorter names",
    errno.ENOTDIR: "a part of this path is a file where a folder has to be: choose another folder",
    errno.EEXIST: "a file is where a folder has to be: move it away, or choose another folder",
}
_SUFFIX = ".part"
_LONGEST_PREFIX = 100  # characters; file systems end at 255 bytes a name
_TRIES = 20


def shown(path: Path) -> str:
    """The path as somebody would type it: below the working directory without the way there."""
    with contextlib.suppress(OSError):  # a working directory that is gone
        if path.is_relative_to(Path.cwd()):
            return str(path.relative_to(Path.cwd()))
    return str(path)


@contextmanager
def host_errors(path: Path) -> Iterator[None]:
    """Turns what the system refuses about `path` into a `HostError`."""
    try:
        yield
    except OSError as error:
        raise host_error(error, path) from error


def host_error(error: OSError, path: Path) -> HostError:
    """Name what this machine lacks: room, permission, memory, or something else that the system says.

    Args:
        error: as the system gave it.
        path: what was being worked on, for errors that name no file.
    """
    named = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else path
    where = str(path if any(_is_private(part) for part in named.parts) else named)
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return HostError(
            "disk-full",
            f"no room left: {reason}",
            where=where,
            hint="free some space (edgetool cache gc --max-size 1GiB), then run again",
        )
    if error.errno in _FORBIDDEN:
        return HostError(
            "permission-denied",
            f"the system forbids it: {reason}",
            where=where,
            hint="change the permissions, or choose another folder with --output, EDGETOOL_CACHE_DIR or TMPDIR",
        )
    if error.errno == errno.ENOMEM:
        return out_of_memory(where)
    hint = _HINTS.get(error.errno or 0, "look at the disk and at the path, then run again")
    return HostError("host-failed", f"the system refused: {reason}", where=where, hint=hint)


def _is_private(name: str) -> bool:
    """The name of a private folder, which says nothing to the user who asked for another one."""
    return name.startswith(".") and name.endswith(_SUFFIX)


def out_of_memory(where: str | None = None) -> HostError:
    """The error for a process that ran out of memory."""
    return HostError(
        "out-of-memory",
        "ran out of memory",
        where=where,
        hint="raise `memory` in [targets.NAME.builder], or build on a larger machine",
    )


@contextmanager
def written_aside(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes its name `path` only when everything was written; otherwise it vanishes.

    Raises:
        HostError: `disk-full`, `permission-denied` or `host-failed`.
    """
    with private_folder(path) as folder:
        with (folder / "new").open("wb") as file:
            yield file
        (folder / "new").replace(path)


def replace_file(path: Path, data: bytes) -> None:
    """Write a file aside and rename it into place. Raises HostError as `written_aside`."""
    with written_aside(path) as file:
        file.write(data)


@contextmanager
def replaced_folder(destination: Path) -> Iterator[Path]:
    """An empty folder that takes the place of `destination` when the block ends without an error.

    Until then an old `destination` stays as it is. Folders above it are made.

    Raises:
        HostError: as `written_aside`; nothing half-written stays.
    """
    with host_errors(destination):
        destination.parent.mkdir(parents=True, exist_ok=True)
    with private_folder(destination) as folder:
        inside = folder / "new"
        inside.mkdir()
        inside.chmod(0o755)
        yield inside
        _swap_in(inside, destination, folder / "old")


@contextmanager
def only_writer(destination: Path) -> Iterator[None]:
    """Wait until nobody else writes into the folder that holds `destination`; folders above it are made.

    Raises:
        HostError: as `written_aside`.
    """
    with host_errors(destination):
        destination.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(destination.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with host_errors(destination):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


@contextmanager
def private_folder(destination: Path) -> Iterator[Path]:
    """A locked folder beside `destination`, gone at the end; those of killed writers are cleared first.

    For whoever writes several files and renames them into place alone.

    Raises:
        HostError: as `written_aside`.
    """
    prefix = f".{destination.name[:_LONGEST_PREFIX]}."
    with host_errors(destination):
        _clear_abandoned(destination.parent, prefix)
        folder, lock = _locked_folder(destination.parent, prefix)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


@contextmanager
def scratch_folder(name: str) -> Iterator[Path]:
    """An empty folder where temporary files go, gone at the end; those of killed processes are cleared first.

    Whole networks lie in such folders: what a kill leaves behind must not stay until the machine starts again.

    Args:
        name: `edgetool-` and what it is for.

    Raises:
        HostError: as `written_aside`.
    """
    with private_folder(Path(tempfile.gettempdir()) / name) as folder:
        inside = folder / "scratch"  # the folder around it is locked, and who writes bundles here locks it again
        inside.mkdir(0o700)
        yield inside


def _locked_folder(parent: Path, prefix: str) -> tuple[Path, int]:
    """A private folder, and the descriptor that holds its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(dir=parent, prefix=prefix, suffix=_SUFFIX))
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue  # taken for abandoned before it was locked
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            return folder, lock
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


def _clear_abandoned(parent: Path, prefix: str) -> None:
    for folder in parent.glob(f"{glob.escape(prefix)}*{_SUFFIX}"):
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass  # its writer is alive
        finally:
            os.close(lock)
