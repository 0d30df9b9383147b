"""Checks a bundle byte for byte. Trusts nothing that it reads.

Needs nothing but the standard library of Python 3.8, for devices run it, too: `edgetool.trust.verifier` is its command.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BUNDLE_IS = "a bundle is the folder NAME-VERSION-TARGET.edgebundle that `edgetool build` wrote"
"""For whoever named something else."""
MANIFEST = "manifest.json"
MEASUREMENTS = "reports/measurements.json"
"""The one file that may differ between two equal builds: no digest covers it."""

MAX_JSON = 16 << 20
MAX_FILES = 100_000
MAX_DEPTH = 32
MAX_PATH = 1024

_CHUNK = 1 << 20
_MAX_DIGITS = 30


@dataclass(frozen=True)
class Fault:
    """One thing that is not as the manifest says, or that no bundle may hold.

    Attributes:
        kind: `missing`, `extra`, `changed`, `unsafe`, `unreadable`, `manifest`, `digest`, `target` or `signature`.
        path: relative to the bundle, as found; may hold anything a file name can.
        message: one sentence.
    """

    kind: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.kind}: {printable(self.path)}: {self.message}"


@dataclass(frozen=True)
class Verification:
    """The outcome of a check.

    Attributes:
        bundle: the folder.
        faults: empty when every byte is as recorded.
        files: how many the manifest lists.
        size: their bytes.
        content_digest: as computed from the files; None when something is wrong with them.
        hashes: path to sha256 hex of every file that was found as recorded, the manifest and the measurements among
            them; empty when something is wrong.
    """

    bundle: Path
    faults: tuple[Fault, ...]
    files: int
    size: int
    content_digest: str | None
    hashes: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def sound(self) -> bool:
        return not self.faults

    def to_json(self) -> dict[str, object]:
        return {
            "bundle": str(self.bundle),
            "sound": self.sound,
            "files": self.files,
            "size": self.size,
            "content_digest": self.content_digest,
            "faults": [{"kind": f.kind, "path": printable(f.path), "message": f.message} for f in self.faults],
        }


@dataclass(frozen=True)
class _Listed:
    size: int
    sha256: str


def verify(bundle: Path, *, digest: str | None = None, target: str | None = None) -> Verification:
    """Check every file of a bundle against its manifest.

    Args:
        bundle: the folder.
        digest: the content digest that is expected, from a source that is trusted more than the bundle.
        target: name of the target that the bundle has to be for.

    Returns:
        All faults at once. A bundle that somebody changed *together with* its manifest is sound by itself: only
        `digest` or a signature can tell.

    Raises:
        NotADirectoryError: there is no such folder.
        OSError: the folder itself cannot be read.
    """
    if not bundle.is_dir():
        raise NotADirectoryError(f"{bundle} is not a folder")
    found, faults = _walk(bundle)
    try:
        manifest_data = _read_json(bundle, MANIFEST)
        manifest = parse_json(manifest_data)
        listed, listing_faults = _listed_files(manifest)
    except ValueError as error:
        return Verification(bundle, (*faults, Fault("manifest", MANIFEST, str(error))), 0, 0, None)
    faults += listing_faults
    for path in found:
        if path not in listed and path not in (MANIFEST, MEASUREMENTS):
            faults.append(Fault("extra", path, "the manifest does not list this file"))
    hashes: dict[str, str] = {}
    for path, wanted in listed.items():
        fault = _check_file(bundle, path, wanted, found)
        if fault is None:
            hashes[path] = wanted.sha256
        elif not any(known.path == path for known in faults):
            faults.append(fault)
    faults += _check_target(manifest, target)
    computed = None
    if not faults:
        hashes[MANIFEST] = hashlib.sha256(manifest_data).hexdigest()
        computed = content_digest(hashes)
        if digest is not None and digest.lower() != computed:
            faults.append(Fault("digest", ".", f"the content digest is {computed}, expected was {printable(digest)}"))
        if MEASUREMENTS in found:
            hashes[MEASUREMENTS], measured_faults = _check_measurements(bundle, computed)
            faults += measured_faults
    size = sum(row.size for row in listed.values())
    return Verification(bundle, tuple(faults), len(listed), size, computed, {} if faults else hashes)


def content_digest(hashes: Mapping[str, str]) -> str:
    """sha256 over the sorted lines `sha256  path`: the name of a bundle's content.

    Equal to `find . -type f ! -path ./reports/measurements.json -exec sha256sum {} + | sed 's|  \\./|  |' |
    LC_ALL=C sort | sha256sum` inside the bundle.

    Args:
        hashes: path to sha256 hex, of all files but `reports/measurements.json`.
    """
    lines = sorted(f"{sha256}  {path}\n".encode() for path, sha256 in hashes.items())
    return hashlib.sha256(b"".join(lines)).hexdigest()


def path_fault(path: object) -> str | None:
    """Why something may not be a path in a bundle; None when it may."""
    if not isinstance(path, str) or not path:
        return "a path is a string that is not empty"
    if len(path.encode("utf-8", "surrogatepass")) > MAX_PATH:
        return f"a path is no longer than {MAX_PATH} bytes"
    if not path.isprintable() or "\\" in path:
        return "a path holds printable characters and no backslash"
    if path.startswith("/") or any(part in ("", ".", "..") for part in path.split("/")):
        return "a path is relative, without empty parts, '.' or '..'"
    if path.count("/") >= MAX_DEPTH:
        return f"a path has no more than {MAX_DEPTH} parts"
    return None


def _walk(bundle: Path) -> tuple[dict[str, os.stat_result], list[Fault]]:
    """Every regular file below the bundle, and a fault for everything that is neither file nor folder."""
    found: dict[str, os.stat_result] = {}
    faults: list[Fault] = []
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        for entry in _entries(bundle, folder, faults):
            path = f"{folder}/{entry.name}" if folder else entry.name
            if len(found) + len(faults) >= MAX_FILES:
                return found, [*faults, Fault("unsafe", path, f"a bundle has no more than {MAX_FILES} files")]
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                if path.count("/") + 1 >= MAX_DEPTH:
                    faults.append(Fault("unsafe", path, f"folders are nested deeper than {MAX_DEPTH}"))
                else:
                    waiting.append(path)
            elif not stat.S_ISREG(status.st_mode):
                faults.append(Fault("unsafe", path, f"it is {_kind(status.st_mode)}, not a regular file"))
            elif status.st_nlink > 1:
                faults.append(Fault("unsafe", path, "it is a hard link: its bytes can be changed from elsewhere"))
            else:
                found[path] = status
    return found, faults


def _entries(bundle: Path, folder: str, faults: list[Fault]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(bundle / folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        if not folder:
            raise
        faults.append(Fault("unreadable", folder, error.strerror or "cannot be listed"))
        return []


def _listed_files(manifest: object) -> tuple[dict[str, _Listed], list[Fault]]:
    """The manifest's list of files. Raises ValueError when there is none."""
    if not isinstance(manifest, dict):
        raise ValueError("it is not a JSON object")
    version = manifest.get("schema_version")
    if version != 1 or isinstance(version, bool):
        raise ValueError(f"schema_version is {str(version)[:20]!r}, this program knows 1")
    rows = manifest.get("files")
    if not isinstance(rows, list) or len(rows) > MAX_FILES:
        raise ValueError(f"'files' is not a list of up to {MAX_FILES} files")
    listed: dict[str, _Listed] = {}
    faults: list[Fault] = []
    for row in rows:
        fault = _row_fault(row, listed)
        if fault is None:
            listed[row["path"]] = _Listed(row["size"], row["sha256"])
        else:
            faults.append(fault)
    return listed, faults


def _row_fault(row: Any, listed: Mapping[str, _Listed]) -> Fault | None:
    if not isinstance(row, dict):
        return Fault("manifest", MANIFEST, "an entry of 'files' is not an object")
    path, size, sha256 = row.get("path"), row.get("size"), row.get("sha256")
    if reason := path_fault(path):
        return Fault("unsafe", str(path)[:MAX_PATH], f"listed in the manifest, but {reason}")
    if not isinstance(path, str) or path in (MANIFEST, MEASUREMENTS):
        return Fault("manifest", str(path), "this file cannot be listed in 'files'")
    if path in listed:
        return Fault("manifest", path, "it is listed twice")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        return Fault("manifest", path, "its size is not a whole number")
    if not isinstance(sha256, str) or len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        return Fault("manifest", path, "its sha256 is not 64 hex digits")
    return None


def _check_file(bundle: Path, path: str, wanted: _Listed, found: Mapping[str, os.stat_result]) -> Fault | None:
    if path not in found:
        return Fault("missing", path, "the manifest lists it, the bundle does not hold it")
    if found[path].st_size != wanted.size:  # before reading: a wrong size may be a huge one
        return Fault("changed", path, f"it has {found[path].st_size} bytes, recorded are {wanted.size}")
    try:
        sha256 = _sha256(bundle / path)
    except OSError as error:
        return Fault("unreadable", path, error.strerror or "cannot be read")
    if sha256 != wanted.sha256:
        return Fault("changed", path, f"its sha256 is {sha256[:12]}…, recorded is {wanted.sha256[:12]}…")
    return None


def _check_target(manifest: object, target: str | None) -> Iterator[Fault]:
    if target is None or not isinstance(manifest, dict):
        return
    record = manifest.get("target")
    name = record.get("name") if isinstance(record, dict) else None
    if name != target:
        yield Fault("target", MANIFEST, f"it is for target {printable(str(name))[:200]!r}, wanted is {target!r}")


def _check_measurements(bundle: Path, content: str) -> tuple[str, list[Fault]]:
    """The file's sha256, and what is wrong with it."""
    data, recorded = b"", None
    try:
        data = _read_json(bundle, MEASUREMENTS)
        measurements = parse_json(data)
        recorded = measurements.get("content_digest") if isinstance(measurements, dict) else None
        reason = f"it records content digest {str(recorded)[:64]!r}, the content's is {content}"
    except ValueError as error:
        reason = str(error)
    faults = [] if recorded == content else [Fault("digest", MEASUREMENTS, reason)]
    return hashlib.sha256(data).hexdigest(), faults


def _read_json(bundle: Path, path: str) -> bytes:
    """The bytes of a file that should be JSON. Raises ValueError with the reason why they cannot be had."""
    try:
        with _open(bundle / path) as handle:
            data: bytes = handle.read(MAX_JSON + 1)
    except OSError as error:
        raise ValueError(error.strerror or "cannot be read") from error
    if len(data) > MAX_JSON:
        raise ValueError(f"it is larger than {MAX_JSON >> 20} MiB")
    return data


def parse_json(data: bytes) -> object:
    """Parse JSON that somebody else wrote; a key that stands twice is refused. Raises ValueError with the reason."""
    try:
        return json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_whole
        )
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8") from error
    except ValueError as error:
        raise ValueError(f"it is not valid JSON: {str(error)[:200]}") from error


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return result


def _whole(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:  # what older Pythons would take hours for
        raise ValueError("a number is too long")
    return int(digits)


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _open(path: Path) -> Any:
    """For reading; never follows a link, never waits for a pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    handle = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        handle.close()
        raise OSError(0, "it is not a regular file")
    return handle


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_CHUNK))
    with _open(path) as handle:
        while count := handle.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()


def _kind(mode: int) -> str:
    for test, name in (
        (stat.S_ISLNK, "a symbolic link"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"),
        (stat.S_ISBLK, "a device"), (stat.S_ISCHR, "a device"),
    ):  # fmt: skip
        if test(mode):
            return name
    return "something else"


def printable(text: str) -> str:
    """A name that cannot steer the terminal it is printed on."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
