"""`python -m tests.tensorrt.rtx_limited MODEL DIRECTORY LIMIT BYTES`: builds under a limit, and prints the outcome.

LIMIT is `memory` (address space beyond what is in use), `file` (the largest file), or `none`. The outcome is `built` or
the code of the error.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from edgetool.errors import EdgetoolError
from edgetool.graph import read_model
from edgetool.testing import tiny_mlp
from tests.tensorrt.rtx import build_rtx


def build_limited(model: Path, directory: Path, limit: str = "none", size: int = 0) -> str:
    """Run this file; what it prints."""
    command = [sys.executable, "-m", __name__, str(model), str(directory), limit, str(size)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def main(model: Path, directory: Path, limit: str, size: int) -> None:
    if limit == "memory":
        _load_everything(directory.with_name("warm"))
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + size, used + size))
    elif limit == "file":
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
        build_rtx(read_model(model), directory)
        print("built")
    except EdgetoolError as error:
        print(error.code)


def _load_everything(folder: Path) -> None:
    """What is imported lazily is no part of the memory that a build needs."""
    folder.mkdir()
    build_rtx(tiny_mlp(folder), folder / "engine")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
