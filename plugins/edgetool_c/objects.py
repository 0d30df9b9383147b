"""Compiled sources, kept by content: what a network is built, measured and opened from is the same text each time."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

_KEPT = 4
"""Objects a process: those of one program, and the one that makes place for the next network's."""
_INCLUDE = re.compile(rb'^[ \t]*#[ \t]*include[ \t]+"([^"\n]+)"', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Source:
    """What an object is made from. Two are equal when their contents are, wherever they lie.

    Attributes:
        digest: of the source and of all that it includes from the engine, so that no header can change unnoticed.
    """

    digest: str
    name: str
    engine: Path = field(compare=False)


def compiled(engine: Path, name: str, command: tuple[str, ...], *, timeout: float) -> bytes:
    """The object file of one source.

    Args:
        engine: folder that the compiler works in; stays as it is.
        name: of the source in there.
        command: the compiler with its flags, which look for headers in `.` and `test`.
        timeout: seconds that the compiler may take.

    Raises:
        subprocess.CalledProcessError: it refuses the source; `stderr` says why.
        subprocess.TimeoutExpired: it takes too long.
    """
    return _compiled(_Source(_digest(engine, name), name, engine), command, timeout)


@functools.lru_cache(maxsize=_KEPT)
def _compiled(source: _Source, command: tuple[str, ...], timeout: float) -> bytes:
    with tempfile.TemporaryDirectory(prefix="edgetool-object-") as folder:
        made = Path(folder) / "made.o"
        subprocess.run(
            [*command, "-c", "-o", str(made), source.name],
            cwd=source.engine, capture_output=True, text=True, errors="replace", timeout=timeout, check=True,
        )  # fmt: skip
        return made.read_bytes()


def _digest(engine: Path, name: str) -> str:
    """Of the source and, transitively, of the engine's files that it includes; those of the compiler stay the same."""
    total = hashlib.sha256()
    seen: set[Path] = set()
    left = [engine / name]
    while left:
        path = left.pop()
        if path in seen or not os.path.isfile(path):  # noqa: PTH113 - Path's own raises when a name is too long
            continue
        seen.add(path)
        content = path.read_bytes()
        total.update(f"{os.path.relpath(path, engine)!r} {len(content)}\n".encode())
        total.update(content)
        for included in map(os.fsdecode, _INCLUDE.findall(content)):
            left += [folder / included for folder in (path.parent, engine, engine / "test")]
    return total.hexdigest()
