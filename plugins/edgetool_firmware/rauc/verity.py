"""dm-verity's hash tree: any block of a file can be checked alone, up to one hash.

Version 1 of https://docs.kernel.org/admin-guide/device-mapper/verity.html: SHA-256 over salt and block, blocks of
4 KiB, levels stored from the root down, and the tree alone, without the superblock of `veritysetup`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

BLOCK = 4096
_READ = 256 * BLOCK


def hash_tree(path: Path, *, salt: bytes) -> tuple[bytes, bytes]:
    """The root hash and the tree of a file.

    Args:
        path: of whole blocks, and more than one: RAUC refuses less.
        salt: hashed before each block.

    Returns:
        The hash of the topmost block, and all levels.
    """
    seeded = hashlib.sha256(salt)
    with path.open("rb") as file:
        level = b"".join(_hashes(data, seeded) for data in iter(lambda: file.read(_READ), b""))
    levels = []
    while True:
        level += bytes(-len(level) % BLOCK)
        levels.append(level)
        hashes = _hashes(level, seeded)
        if len(level) == BLOCK:
            return hashes, b"".join(reversed(levels))
        level = hashes


def _hashes(data: bytes, seeded: hashlib._Hash) -> bytes:
    found = []
    view = memoryview(data)
    for start in range(0, len(data), BLOCK):
        block = seeded.copy()
        block.update(view[start : start + BLOCK])
        found.append(block.digest())
    return b"".join(found)
