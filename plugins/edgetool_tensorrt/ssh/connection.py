"""A connection to a device through the system's OpenSSH: the user's configuration, jump hosts, keys and known hosts.

A script is one argument of `sh -c`, its input a stream: the device needs neither sftp nor scp. One login carries all
commands; where that is impossible, each logs in by itself.
"""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeAlias

from edgetool.disk import private_folder
from edgetool.errors import DeviceError
from edgetool_tensorrt.ssh.client import SSH_FAILED, socket_folder, ssh_command, started
from edgetool_tensorrt.ssh.host import Host
from edgetool_tensorrt.ssh.master import SLACK, Master, SharingError
from edgetool_tensorrt.ssh.refusals import connection_lost, login_refusal, script_refusal, shell_refusal

Feed: TypeAlias = Callable[[IO[bytes]], None]
"""Writes a script's input. Called again when the connection broke."""

PATIENCE = 60.0
"""Seconds in which a broken connection may come back."""

_BEGINS = b"edgetool-begins\n"
_PAUSE = 1.0  # seconds between attempts to log in again


@dataclass(frozen=True, slots=True)
class Done:
    """How a script ended: its exit code, what it wrote, and what it complained about."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout.decode(errors="replace")


class Connection:
    """Runs scripts on a device. A context manager; leaving it logs out.

    Every script may run twice: one that a broken connection cut off is repeated once the device answers again.
    """

    def __init__(self, host: Host, *, timeout: float, note: Callable[[str], None]) -> None:
        self.host = host
        self._timeout = timeout
        self._note = note
        self._ssh = ssh_command(host, timeout=timeout)
        self._stack = ExitStack()
        self._socket = self._private_socket()
        self._master: Master | None = None

    def open(self) -> Self:
        """Log in. Raises DeviceError or ConfigError, in ssh's words."""
        try:
            self._shared_login()
            if self._master is None:
                with tempfile.TemporaryFile(buffering=0) as output:
                    self._attempt("", (), feed=None, output=output, timeout=self._timeout + SLACK)
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Log out. Closing twice is harmless."""
        self._forget_login()
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, script: str, *arguments: str, feed: Feed | None = None, timeout: float | None = 60.0) -> Done:
        """Run a POSIX sh script on the device.

        Args:
            script: its text.
            arguments: its positional parameters.
            feed: writes its standard input, which is empty without.
            timeout: seconds until it counts as hanging; None for as long as the device answers.

        Raises:
            HostError: `connection-lost`, when a broken connection has not come back within `PATIENCE`.
            DeviceError, ConfigError: the device refuses to be reconnected.
        """
        with self.stream(script, *arguments, feed=feed, timeout=timeout) as (done, output):
            return Done(done.code, output.read(), done.stderr)

    def must(
        self, doing: str, script: str, *arguments: str, feed: Feed | None = None, timeout: float | None = 60.0
    ) -> Done:
        """As `run`, for a script that has to succeed.

        Args:
            doing: what for, as the subject of "... failed".

        Raises:
            HostError: `device-disk-full`; as `run`.
            DeviceError: `device-folder-unusable`, `device-command-failed`; as `run`.
        """
        done = self.run(script, *arguments, feed=feed, timeout=timeout)
        if done.code != 0:
            raise script_refusal(done.stderr, host=str(self.host), doing=doing)
        return done

    @contextmanager
    def stream(
        self,
        script: str,
        *arguments: str,
        feed: Feed | None = None,
        timeout: float | None = None,
        folder: Path | None = None,
    ) -> Iterator[tuple[Done, IO[bytes]]]:
        """As `run`, with the output in an unnamed file in `folder` instead of in memory, and `Done.stdout` empty."""
        with tempfile.TemporaryFile(dir=folder, buffering=0) as output:
            yield self._persist(script, arguments, feed=feed, output=output, timeout=timeout), output

    def command(self, script: str, *arguments: str, shared: bool) -> list[str]:
        """The command line that runs a script: over the shared login, or by itself in a process that outlives this."""
        words = shlex.join(["sh", "-c", f"echo {_BEGINS.decode().strip()}\n{script}", "edgetool", *arguments])
        socket = str(self._socket) if shared and self._socket else "none"
        return [*self._ssh, "-o", "ControlMaster=no", "-S", socket, *self.host.arguments(), f"exec {words}"]

    def _persist(
        self, script: str, arguments: tuple[str, ...], *, feed: Feed | None, output: IO[bytes], timeout: float | None
    ) -> Done:
        """Run a script, and again when the connection broke under it."""
        broke = self._broke_now() if self._master is not None and not self._master.alive else None
        while True:
            began = time.monotonic()
            try:
                self._shared_login()
                done = self._attempt(script, arguments, feed=feed, output=output, timeout=timeout)
            except _BrokenError as error:
                failure: Exception = error
            except DeviceError as error:
                if error.code != "host-unreachable":
                    raise
                failure = error
            else:
                if broke is not None:
                    self._note(f"connected with {self.host} again")
                return done
            self._forget_login()
            if broke is None or time.monotonic() - began > PATIENCE:  # it had worked in between
                broke = self._broke_now()
            if time.monotonic() - broke > PATIENCE:
                raise connection_lost(str(self.host), stderr=str(failure)) from failure
            time.sleep(_PAUSE)

    def _broke_now(self) -> float:
        self._note(f"the connection to {self.host} broke; trying for {PATIENCE:.0f} s to get it back")
        return time.monotonic()

    def _attempt(
        self, script: str, arguments: tuple[str, ...], *, feed: Feed | None, output: IO[bytes], timeout: float | None
    ) -> Done:
        """Run a script once; leaves `output` where the script's own output begins."""
        output.seek(0)
        output.truncate()
        with tempfile.TemporaryFile() as errors:
            code = _exit_code(
                self.command(script, *arguments, shared=True), feed=feed, output=output, errors=errors, timeout=timeout
            )
            errors.seek(0)
            stderr = errors.read().decode(errors="replace")
        has_begun = _seek_beginning(output)
        if code == SSH_FAILED and self._socket is None and not has_begun:
            raise login_refusal(stderr, host=str(self.host), name=self.host.name)
        if code == SSH_FAILED:
            raise _BrokenError(stderr)
        if not has_begun:
            output.seek(0)
            raise shell_refusal(f"{output.read().decode(errors='replace')}\n{stderr}", host=str(self.host))
        return Done(code, b"", stderr)

    def _shared_login(self) -> None:
        """Log in for all commands, unless that is done already or each has to log in by itself."""
        if self._socket is None or (self._master is not None and self._master.alive):
            return
        self._forget_login()
        try:
            self._master = Master(self._ssh, self.host, socket=self._socket, timeout=self._timeout)
        except SharingError:
            self._socket = None

    def _forget_login(self) -> None:
        if self._master is not None:
            self._master.close()
            self._master = None

    def _private_socket(self) -> Path | None:
        place = socket_folder()
        return self._stack.enter_context(private_folder(place / "edgetool-ssh")) / "s" if place else None


class _BrokenError(Exception):
    """A script was cut off: the connection broke, or the device stopped answering."""


def connect(host: str, *, timeout: float = 10.0, note: Callable[[str], None] = lambda text: None) -> Connection:
    """Log in to a device.

    Args:
        host: `name`, `user@name` or `ssh://user@name:port`.
        timeout: seconds until an unanswered connection is given up.
        note: told when the connection breaks, and when it is back.

    Raises:
        ConfigError: `invalid-host`, `ssh-config-invalid`.
        DeviceError: `host-unreachable`, `host-key-unknown`, `host-key-changed`, `login-refused`.
        UnavailableError: `ssh-missing`.
    """
    return Connection(Host.parse(host), timeout=timeout, note=note).open()


def _exit_code(
    command: list[str], *, feed: Feed | None, output: IO[bytes], errors: IO[bytes], timeout: float | None
) -> int:
    """Of ssh; 255 also when it did not end in time or was killed."""
    stdin = subprocess.DEVNULL if feed is None else subprocess.PIPE
    process = started(command, stdin=stdin, stdout=output.fileno(), stderr=errors.fileno())
    try:
        if feed is not None and process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # the exit code says why nobody reads on
                feed(process.stdin)
                process.stdin.flush()
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        code = process.wait(timeout)
        return code if code >= 0 else SSH_FAILED
    except subprocess.TimeoutExpired:
        return SSH_FAILED
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _seek_beginning(output: IO[bytes]) -> bool:
    """Go to where a script's output begins, behind what the login shell says to everybody; False if it is not there."""
    output.seek(0)
    head = output.read(1 << 16)
    found = head.find(_BEGINS)
    output.seek(found + len(_BEGINS) if found >= 0 else 0)
    return found >= 0
