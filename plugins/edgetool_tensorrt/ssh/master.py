"""One login that the commands of a connection share, so that each costs milliseconds instead of a handshake."""

from __future__ import annotations

import contextlib
import io
import re
import selectors
import subprocess
import tempfile
import time
from pathlib import Path
from typing import cast

from edgetool_tensorrt.ssh.client import SSH_FAILED, started
from edgetool_tensorrt.ssh.host import Host
from edgetool_tensorrt.ssh.refusals import login_refusal, shell_refusal

_READY = b"edgetool-ready"
_STAY = f"exec sh -c 'echo {_READY.decode()}; exec cat >/dev/null'"  # ends when our end of its input does
_NO_SOCKET = re.compile(r"unix_listener|muxserver|ControlPath|ControlSocket")

SLACK = 20.0
"""Seconds on top of the connection's own timeout: ssh has none for the login itself."""


class SharingError(Exception):
    """This system cannot share a login; each command has to log in by itself."""


class Master:
    """A logged-in ssh that others connect through `socket`. It ends with this process, at the latest.

    Raises, when made:
        SharingError: there can be no socket here.
        DeviceError, ConfigError: the login failed, in ssh's words.
        UnavailableError: `ssh-missing`.
    """

    def __init__(self, ssh: list[str], host: Host, *, socket: Path, timeout: float) -> None:
        self.socket = socket
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - as long-lived as the process
        self._process = started(
            [*ssh, "-o", "ControlMaster=yes", "-S", str(socket), *host.arguments(), _STAY],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors.fileno(),
        )
        self._heard = b""
        if not self._ready(time.monotonic() + timeout + SLACK):
            code = self._ended()
            stderr = self._said()
            self.close()
            if 0 <= code != SSH_FAILED:
                raise shell_refusal(f"{self._heard.decode(errors='replace')}\n{stderr}", host=str(host))
            if _NO_SOCKET.search(stderr):
                raise SharingError(stderr)
            raise login_refusal(stderr, host=str(host), name=host.name)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None and self.socket.exists()

    def close(self) -> None:
        """Log out. Closing twice is harmless."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._ended()
        self._errors.close()
        self.socket.unlink(missing_ok=True)

    def _ready(self, deadline: float) -> bool:
        stdout = cast(io.BufferedReader, self._process.stdout)
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while selector.select(max(0.0, deadline - time.monotonic())):
                chunk = stdout.read1(65536)
                self._heard += chunk
                if _READY in self._heard:
                    return True
                if not chunk:
                    return False
        return False

    def _ended(self) -> int:
        """Its exit code, once it has one; it is killed if it takes long."""
        try:
            return self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _said(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")
