"""SWUpdate as it runs on a device, with folders of its own."""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SwUpdate:
    """One device.

    Attributes:
        tool: the program.
        trusted: PEM file of the certificates that it trusts.
        etc: stands for /etc/edgetool; empty at first.
    """

    tool: str
    trusted: Path
    etc: Path

    def check(self, image: Path, board: str = "edgeboard:1.0", *options: str | Path) -> str | None:
        """What it has against the image; None when it takes it."""
        return self._run(image, board, "-c", *options)

    def install(self, image: Path, board: str = "edgeboard:1.0", *options: str | Path) -> str | None:
        """Install it; what went wrong, or None."""
        return self._run(image, board, *options)

    def _run(self, image: Path, board: str, *options: str | Path) -> str | None:
        # Its sockets lie in TMPDIR, and their paths have at most 107 bytes.
        with tempfile.TemporaryDirectory(prefix="swu") as scratch:
            done = subprocess.run(
                [self.tool, "-v", "-i", image, "-H", board, "-k", self.trusted, *options],
                env={**os.environ, "TMPDIR": scratch, "EDGETOOL_ETC": str(self.etc)},
                capture_output=True,
                text=True,
                errors="replace",
                timeout=60,
                check=False,
            )
        # Its processes end in any order: the exit status is 1 now and then although it was successful, or the last
        # line is missing, which another process prints than the one that installs. Of a check, that one always says so.
        done_by = ["SWUPDATE successful"] if "-c" in options else ["SWUPDATE successful", "SWUpdate was successful !"]
        if any(word in done.stdout + done.stderr for word in done_by):
            return None
        assert done.returncode != 0, done.stdout + done.stderr
        return done.stdout + done.stderr
