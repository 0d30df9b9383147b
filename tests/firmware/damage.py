"""Damage for files that a device must refuse."""

from __future__ import annotations

import shutil
from pathlib import Path


def flip_byte(path: Path, *, at: int | None = None, within: bytes = b"") -> None:
    """Change one byte of a file in place.

    Args:
        path: the file.
        at: which byte, negative from the end; the middle one if left out.
        within: what must be found in the file; `at` then counts from its start. For payloads deep in a package.
    """
    data = bytearray(path.read_bytes())
    if within:
        start = data.index(within)
        index = start + (len(within) // 2 if at is None else at)
    else:
        index = len(data) // 2 if at is None else at % len(data)
    data[index] ^= 0x01
    path.write_bytes(data)


def damaged_copy(path: Path, *, at: int | None = None, within: bytes = b"") -> Path:
    """The same with a copy beside it, named `damaged-...`; a folder needs `flip_byte` on one of its files."""
    copy = path.with_name(f"damaged-{path.name}")
    shutil.copyfile(path, copy)
    flip_byte(copy, at=at, within=within)
    return copy
