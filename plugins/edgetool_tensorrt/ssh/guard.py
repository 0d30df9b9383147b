"""Ends a job on the device when this process is killed and cannot do it itself.

A process outside of our group waits at the end of a pipe. If the pipe breaks before we have said that all is well, it
logs in by itself and cancels the job. Should the network be down just then, the job's own patience ends it.
"""

from __future__ import annotations

import contextlib
import subprocess

_WAIT = 'read -r all_is_well || exec "$@"'


class Guard:
    """Runs `command` unless `stand_down` is called before this process ends."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            ["sh", "-c", _WAIT, "guard", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # whoever kills our group does not reach it
        )

    def stand_down(self) -> None:
        """All is well. Calling it twice is harmless."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(b"all is well\n")
                self._process.stdin.flush()
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process.wait()
