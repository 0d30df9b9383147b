"""Takes single files out of published packages, without installing them or what they depend on.

    lee, = fetch(Package("pypi", "gensim", "4.4.0"), "gensim/test/test_data/lee.cor", sha256="0a1b...")

Archives and files stay in `examples/.downloads/`, which git ignores: the second call needs no network.
"""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

DOWNLOADS = Path(__file__).parent / ".downloads"


class FetchError(SystemExit):
    """A file could not be had, or is not the one that was expected. Ends a script with its message and exit code 1."""


@dataclass(frozen=True)
class Package:
    """One release of a package: of PyPI (its wheel), of npm, or of Debian (needs apt; nothing is installed)."""

    kind: Literal["pypi", "npm", "debian"]
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def command(self) -> list[str]:
        """Downloads the archive, and nothing else, into the working directory."""
        match self.kind:
            case "pypi":
                pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
                return [*pip, f"{self.name}=={self.version}"]
            case "npm":
                return ["npm", "pack", "--silent", f"{self.name}@{self.version}"]
            case "debian":
                return ["apt-get", "download", "--quiet", f"{self.name}={self.version}"]


def fetch(package: Package, *patterns: str, sha256: str, downloads: Path = DOWNLOADS) -> list[Path]:
    """Files of a package, downloaded and unpacked when they are not there yet.

    Args:
        package: where from.
        patterns: which files, as `fnmatch` reads them: `*` stands for any characters, slashes too.
        sha256: of the names and bytes of these files, see `digest`. It covers the files and not the archive,
            because one release has a different wheel for every platform.
        downloads: folder that keeps archives and files.

    Returns:
        The files, sorted by their name inside the package.

    Raises:
        FetchError: no network, no such package or file, or other bytes than expected.
    """
    folder = downloads / package.kind / f"{package.name}-{package.version}"
    with _alone(folder):
        if _digest_of(folder, patterns) != sha256:
            _unpack(_download(package, folder), patterns, folder)
    if (actual := _digest_of(folder, patterns)) != sha256:
        raise FetchError(f"{package}: {', '.join(patterns)}: wants sha256 {sha256}, got {actual}")
    return _files(folder, patterns)


def digest(files: Iterable[tuple[str, bytes]]) -> str:
    """sha256 over (name inside the package, content) pairs, in the order given."""
    total = hashlib.sha256()
    for name, content in files:
        total.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return total.hexdigest()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two examples may want the same package at the same time."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(folder.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _wanted(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _files(folder: Path, patterns: Sequence[str]) -> list[Path]:
    present = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in present if _wanted(path.relative_to(folder).as_posix(), patterns))


def _digest_of(folder: Path, patterns: Sequence[str]) -> str | None:
    files = _files(folder, patterns)
    return digest((path.relative_to(folder).as_posix(), path.read_bytes()) for path in files) if files else None


def _download(package: Package, folder: Path) -> Path:
    archives = folder.with_name(folder.name + ".archive")
    if not (present := list(archives.glob("*"))):
        archives.mkdir(parents=True, exist_ok=True)
        print(f"fetching {package}", file=sys.stderr)
        try:
            subprocess.run(package.command, cwd=archives, check=True, capture_output=True, text=True)
        except FileNotFoundError as error:
            raise FetchError(f"{package}: {package.command[0]} is not installed here") from error
        except subprocess.CalledProcessError as error:
            reason = (error.stderr.strip() or error.stdout.strip() or "no reason given").splitlines()[-1]
            raise FetchError(f"{package}: `{' '.join(package.command)}` failed (offline?): {reason}") from error
        present = list(archives.glob("*"))
    return present[0]


def _unpack(archive: Path, patterns: Sequence[str], folder: Path) -> None:
    """Extracts only members whose names match; neither zipfile nor tarfile's data filter lets them leave `folder`."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(folder, [name for name in wheel.namelist() if _wanted(name, patterns)])
        return
    with ExitStack() as stack:
        if archive.suffix == ".deb":
            command = ["dpkg-deb", "--fsys-tarfile", str(archive)]
            dpkg = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
            tar = stack.enter_context(tarfile.open(fileobj=dpkg.stdout, mode="r|"))
        else:
            tar = stack.enter_context(tarfile.open(archive, mode="r|*"))
        for member in tar:
            if member.isfile() and _wanted(member.name.removeprefix("./"), patterns):
                tar.extract(member, folder, filter="data")
