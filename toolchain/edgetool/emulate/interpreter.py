"""An interpreter whose every process runs as on another processor: what starts it need not know."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from edgetool.emulate.ways import Emulated, Masked


def write_interpreter(folder: Path, way: Masked | Emulated) -> Path:
    """A program in `folder` that takes Python's arguments. Raises OSError."""
    if isinstance(way, Masked):
        lines = [f"export {way.variable}={shlex.quote(way.value)}", f'exec {shlex.quote(sys.executable)} "$@"']
    else:
        lines = [f'exec {shlex.join([way.program, "-cpu", way.cpu, sys.executable])} "$@"']
    path = folder / "python"
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return path
