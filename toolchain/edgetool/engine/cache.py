"""Content-addressed results of steps. What is in here was complete, and is checked before it is used.

Layout below the root: `entries/<2>/<key>/{entry.json,files/...}`, `locks/<key>`, `users/<build>`, `tmp/<owner>/`.
An entry appears by one rename, so a killed process leaves at most a folder in `tmp/`, which the next one clears.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetool.disk import host_error, host_errors, replace_file
from edgetool.errors import IntegrityError

FORMAT = "v1"
_YOUNG = 10.0


def default_root() -> Path:
    """`$EDGETOOL_CACHE_DIR`, else `$XDG_CACHE_HOME/edgetool`, else `~/.cache/edgetool`."""
    if chosen := os.environ.get("EDGETOOL_CACHE_DIR"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "edgetool"


@dataclass(frozen=True, slots=True)
class Key:
    """What a step's result depends on, and the sha256 over it.

    Attributes:
        step: the step's name.
        parts: everything that decides the result, as JSON.
        digest: 64 hex digits.
    """

    step: str
    parts: Mapping[str, Any]
    digest: str


def make_key(step: str, parts: Mapping[str, Any]) -> Key:
    text = json.dumps({"step": step, **parts}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return Key(step, parts, hashlib.sha256(text.encode()).hexdigest())


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file of an entry, relative to its `files` folder."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A finished step: its result as JSON and the files it wrote."""

    key: str
    step: str
    parts: Mapping[str, Any]
    result: Mapping[str, Any]
    files: tuple[StoredFile, ...]
    created: float
    seconds: float
    folder: Path

    @property
    def directory(self) -> Path:
        """Where its files are."""
        return self.folder / "files"

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


class Cache:
    """A folder of entries, shared by any number of processes."""

    def __init__(self, root: Path) -> None:
        self.root = root / FORMAT

    def get(self, key: str) -> Entry | None:
        """The entry, with its files' sizes checked, or None. Raises `IntegrityError` for a damaged one."""
        folder = self.root / "entries" / key[:2] / key
        try:
            entry = _read_entry(folder)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise host_error(error, folder) from error
        for file in entry.files:
            path = entry.directory / file.path
            if not path.is_file() or path.stat().st_size != file.size:
                raise _damaged(entry, file.path)
        with contextlib.suppress(OSError):  # a read-only cache still serves
            os.utime(folder)
        return entry

    @contextlib.contextmanager
    def lock(self, key: str, on_wait: Callable[[], None]) -> Iterator[None]:
        """Hold the key, so that one process builds it and the others wait; `on_wait` is called when waiting."""
        path = self.root / "locks" / key
        with host_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = path.open("a")
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def workspace(self) -> Iterator[Path]:
        """A private folder on the cache's file system, cleared at the end, or by the next process after a kill."""
        self.clear_abandoned()
        parent = self.root / "tmp"
        with host_errors(parent):
            parent.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(dir=parent, prefix=f"{os.getpid()}-"))
            owner = (folder / ".owner").open("w")
        with owner:
            fcntl.flock(owner, fcntl.LOCK_EX)
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """While this lasts, garbage collection spares every entry that was used since it began."""
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):  # nobody can collect in a read-only cache either
                users = self.root / "users"
                users.mkdir(parents=True, exist_ok=True)
                user = stack.enter_context(tempfile.NamedTemporaryFile(dir=users, prefix=f"{os.getpid()}-"))
                fcntl.flock(user, fcntl.LOCK_EX)
            yield

    def used_since(self) -> float:
        """When the longest running build of all that use this cache began; infinity when there is none."""
        since = math.inf
        for user in (self.root / "users").glob("*"):
            with contextlib.suppress(FileNotFoundError), user.open("rb") as handle:
                began = user.stat().st_mtime
                try:
                    fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    since = min(since, began)
                else:
                    if time.time() - began > _YOUNG:  # made a moment before it is locked
                        user.unlink()
        return since

    def put(self, key: Key, files: Path, result: Mapping[str, Any], *, seconds: float) -> Entry:
        """Move a finished folder in as the key's entry. The folder must lie in a `workspace` of this cache."""
        target = self.root / "entries" / key.digest[:2] / key.digest
        with host_errors(target):
            stored = tuple(_store(path, files) for path in sorted(files.rglob("*")) if path.is_file())
            entry = Entry(key.digest, key.step, key.parts, result, stored, time.time(), seconds, target)
            staging = files.parent / f"entry-{key.digest[:16]}"
            staging.mkdir(mode=0o755)
            files.chmod(0o755)
            files.rename(staging / "files")
            (staging / "entry.json").write_text(json.dumps(_to_json(entry), indent=1, sort_keys=True))
            target.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # replaced when it was damaged
                shutil.rmtree(target)
            try:
                staging.rename(target)
            except OSError as error:  # another process without our lock was faster: its entry is as good
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
        return entry

    def recall(self, base: str) -> list[str] | None:
        """The files that the step with this base key read when it last ran, or None."""
        try:
            files: list[str] = json.loads((self.root / "reads" / base).read_text())
        except (FileNotFoundError, ValueError):
            return None
        except OSError as error:
            raise host_error(error, self.root) from error
        return files

    def remember(self, base: str, files: list[str]) -> None:
        """Keep which files a step read, so that the next look-up can hash them."""
        path = self.root / "reads" / base
        with host_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps(files).encode())

    def entries(self) -> Iterator[Entry]:
        """All readable entries, in no order. Raises HostError when the cache is no folder."""
        if self.root.parent.exists() and not self.root.parent.is_dir():
            raise host_error(OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)), self.root.parent)
        for folder in (self.root / "entries").glob("??/*"):
            with contextlib.suppress(OSError, IntegrityError):
                yield _read_entry(folder)

    def check(self, entry: Entry) -> tuple[str, ...]:
        """Names of the entry's files whose bytes are not those that were recorded."""
        bad = []
        for file in entry.files:
            path = entry.directory / file.path
            if not path.is_file() or sha256_of(path) != file.sha256:
                bad.append(file.path)
        return tuple(bad)

    def remove(self, entry: Entry) -> None:
        shutil.rmtree(entry.folder, ignore_errors=True)

    def clear_abandoned(self) -> int:
        """Remove workspaces whose process is gone; returns how many."""
        cleared = 0
        for folder in (self.root / "tmp").glob("*"):
            # A folder is made a moment before it is locked: leave the young ones alone.
            with contextlib.suppress(OSError):
                if time.time() - folder.stat().st_mtime < _YOUNG:
                    continue
            with contextlib.suppress(OSError), (folder / ".owner").open("a") as owner:
                fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
                cleared += 1
        return cleared


def sha256_of(path: Path) -> str:
    """64 hex digits over a file's bytes, streamed."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _store(path: Path, root: Path) -> StoredFile:
    path.chmod(0o644)
    return StoredFile(path.relative_to(root).as_posix(), path.stat().st_size, sha256_of(path))


def _to_json(entry: Entry) -> dict[str, Any]:
    return {
        "key": entry.key,
        "step": entry.step,
        "parts": entry.parts,
        "result": entry.result,
        "files": [[file.path, file.size, file.sha256] for file in entry.files],
        "created": entry.created,
        "seconds": entry.seconds,
    }


def _read_entry(folder: Path) -> Entry:
    text = (folder / "entry.json").read_text()
    try:
        data = json.loads(text)
        return Entry(
            key=data["key"],
            step=data["step"],
            parts=data["parts"],
            result=data["result"],
            files=tuple(StoredFile(*row) for row in data["files"]),
            created=data["created"],
            seconds=data["seconds"],
            folder=folder,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            "cache-damaged",
            "this cache entry is not readable",
            where=str(folder / "entry.json"),
            hint="edgetool cache gc --damaged",
        ) from error


def _damaged(entry: Entry, name: str) -> IntegrityError:
    return IntegrityError(
        "cache-damaged",
        f"the cached result of step {entry.step!r} is not what was stored: {name}",
        where=str(entry.directory / name),
        hint="edgetool cache gc --damaged",
    )
