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
        """What the process says that installs.

        The one that was started asks it over a socket how it went. On a busy machine it asks too late, takes the next
        state for the answer, calls a refused image successful, or ends the other in the middle of its work and takes
        its files away: neither its last line nor its exit status tells what happened. Where the two do not agree, the
        device gets the image once more.
        """
        for _ in range(5):
            said = self._output(image, board, *options)
            if "SWUPDATE successful" in said or "postinst  command returned 0" in said:
                return None
            if "SWUpdate was successful" not in said:
                break
        return said

    def _output(self, image: Path, board: str, *options: str | Path) -> str:
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
        return done.stdout + done.stderr
