"""A running image: requests go in, answers come out, and one that hangs or crashes is ended and reported."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from edgetool.errors import DeviceError
from edgetool_c.boards import Board
from edgetool_c.programs import EMULATOR, how_to_get

_CHUNK = 1 << 16
_GLANCE = 0.1
"""Seconds between two looks at whether the process still lives: nothing else tells, since the pipes stay open."""
_FAULT = 70
"""Exit status of the image's fault handler."""


class ImageProcess:
    """An image on its board. Works in a temporary folder of its own, which `close` removes.

    Args:
        image: the linked program.
        board: what runs it.
        timeout: seconds for one exchange.
    """

    def __init__(self, image: Path, board: Board, *, timeout: float) -> None:
        self._board = board
        self._timeout = timeout
        self._folder = tempfile.TemporaryDirectory(prefix="edgetool-image-")
        self._log = Path(self._folder.name) / "log"
        with self._log.open("wb") as log:
            if board.machine is None:
                self._process, self._requests, self._answers = _start_here(image, log.fileno())
            else:
                self._process, self._requests, self._answers = _emulate(
                    image, board.machine, Path(self._folder.name), log.fileno()
                )

    def exchange(self, request: bytes, size: int) -> bytes:
        """Send all of a request and receive so many bytes.

        Raises:
            DeviceError: `image-crashed`, or `image-hung`.
        """
        deadline = time.monotonic() + self._timeout
        unsent, answer = memoryview(request), bytearray()
        while len(answer) < size:
            wanting = [self._requests] if unsent else []
            readable, writable, _ = select.select([self._answers], wanting, [], _GLANCE)
            if writable:
                try:
                    unsent = unsent[os.write(self._requests, unsent[:_CHUNK]) :]
                except BrokenPipeError:
                    raise self._crashed() from None
            if readable and (part := os.read(self._answers, min(_CHUNK, size - len(answer)))):
                answer += part
                continue
            if not writable and self._process.poll() is not None:
                raise self._crashed()
            if time.monotonic() > deadline:
                self.close()
                raise DeviceError(
                    "image-hung",
                    f"no answer within {self._timeout:g} s",
                    where=self._board.name,
                    hint="raise `timeout` in [targets.NAME.c] if the network is that slow",
                )
        return bytes(answer)

    def close(self) -> None:
        """End the program. Closing twice is harmless."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for descriptor in (self._requests, self._answers):
            if descriptor >= 0:
                os.close(descriptor)
        self._requests = self._answers = -1
        self._folder.cleanup()

    def _crashed(self) -> DeviceError:
        status = self._process.wait()
        said = " ".join(self._log.read_text(errors="replace").split())[:200]
        self.close()
        what = "it hit a fault: it wrote or read where nothing is" if status == _FAULT else f"it ended with {status}"
        return DeviceError(
            "image-crashed",
            f"the image gave no answer, {what}" + (f" ({said})" if said else ""),
            where=self._board.name,
            hint="a stack that is too small and a defect of the generated C are the usual causes",
        )


def _start_here(image: Path, log: int) -> tuple[subprocess.Popen[bytes], int, int]:
    process = subprocess.Popen([image], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
    assert process.stdin is not None
    assert process.stdout is not None
    requests, answers = os.dup(process.stdin.fileno()), os.dup(process.stdout.fileno())
    process.stdin.close()
    process.stdout.close()
    os.set_blocking(requests, False)
    return process, requests, answers


def _emulate(image: Path, machine: str, folder: Path, log: int) -> tuple[subprocess.Popen[bytes], int, int]:
    """Semihosting opens files of the folder that the emulator works in; these two are pipes."""
    emulator = shutil.which(EMULATOR)
    if emulator is None:
        raise DeviceError("emulator-missing", f"{EMULATOR} is not installed", where=machine, hint=how_to_get(EMULATOR))
    ends = []
    for name in ("requests", "answers"):
        os.mkfifo(folder / name)
        # For reading and writing: opening then never waits for the other side.
        ends.append(os.open(folder / name, os.O_RDWR | os.O_NONBLOCK))
    command = [
        emulator, "-M", machine, "-nographic", "-monitor", "none", "-serial", "none",
        "-semihosting-config", "enable=on,target=native", "-kernel", str(image.absolute()),
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    return process, ends[0], ends[1]
