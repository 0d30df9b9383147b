"""An interpreter whose every process runs as on another processor: what starts it need not know."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from edgetool.emulate.ways import Emulated, Masked


def write_interpreter(folder: Path, way: Masked | Emulated) -> Path:
    """A program in `folder` that takes Python's arguments. Raises OSError."""
    start = [way.program, "-cpu", way.cpu] if isinstance(way, Emulated) else ["env", f"{way.variable}={way.value}"]
    path = folder / "python"
    path.write_text(f'#!/bin/sh\nexec {shlex.join([*start, sys.executable])} "$@"\n')
    path.chmod(0o755)
    return path
