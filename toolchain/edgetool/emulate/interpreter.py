"""An interpreter whose every process runs as on another processor: what starts it need not know."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from edgetool.emulate.ways import Emulated, Masked

LEASHED = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(sys.argv[1], sys.argv[1:])"
"""Asks the kernel to kill the process with its parent (PR_SET_PDEATHSIG, SIGKILL), before the emulator takes it over.

What runs inside asks for the same, but much later: an emulator takes seconds to get there.
"""


def write_interpreter(folder: Path, way: Masked | Emulated) -> Path:
    """A program in `folder` that takes Python's arguments. Raises OSError."""
    if isinstance(way, Masked):
        lines = [f"export {way.variable}={shlex.quote(way.value)}", _exec(sys.executable)]
    else:
        lines = [_exec(sys.executable, "-I", "-S", "-c", LEASHED, way.program, "-cpu", way.cpu, sys.executable)]
    path = folder / "python"
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return path


def _exec(*words: str) -> str:
    return f'exec {shlex.join(words)} "$@"'
