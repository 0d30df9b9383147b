"""Digests of the code that acts, so that an edited plugin or data function never meets an old result."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path

from edgetool.engine.cache import sha256_of

_ACTING = frozenset({".py", ".toml", ".sh", ".awk"})
"""Endings of files that decide what a package does: code, tables, and programs that it hands out."""


@functools.cache
def package_digest(name: str) -> str:
    """sha256 over the code and the tables of an import package, or of a single module.

    Versions alone would do for released plugins; whoever edits one in place has no version to raise.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        return "unknown"
    origin = Path(spec.origin)
    inside = (path for path in origin.parent.rglob("*") if path.suffix in _ACTING)
    files = sorted(inside) if origin.name == "__init__.py" else [origin]
    digest = hashlib.sha256()
    for path in files:
        if "cli" not in path.relative_to(origin.parent).parts:  # what only prints cannot change a result
            digest.update(path.relative_to(origin.parent).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def code_digest(loader: str) -> str:
    """Of the package that a `module:Class` loader belongs to."""
    return package_digest(loader.partition(":")[0].partition(".")[0])


def file_digests(paths: list[str], root: Path) -> Mapping[str, str]:
    """Path (relative to `root` where it lies below) to sha256; `missing` for a file that is gone.

    A folder's digest is that of its listing, so that an added file is noticed.
    """
    return {relative_name(path, root): _digest(Path(path)) for path in sorted(paths)}


def changed_since(paths: list[str], moment: float) -> bool:
    """Whether a file was written after a moment (in seconds since the epoch): it may not be what was read any more."""
    return any(Path(path).is_file() and Path(path).stat().st_mtime >= moment for path in paths)


def relative_name(path: str, root: Path) -> str:
    """How a file is called in keys: relative to the project where it lies inside, so that projects can move."""
    return Path(path).relative_to(root).as_posix() if Path(path).is_relative_to(root) else path


def _digest(path: Path) -> str:
    try:
        if path.is_dir():
            return hashlib.sha256("\n".join(sorted(entry.name for entry in path.iterdir())).encode()).hexdigest()
        return sha256_of(path)
    except OSError:
        return "missing"
