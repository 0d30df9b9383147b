"""The system's ssh program: how it is called, so that the user's configuration holds and nobody is asked anything."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from edgetool.errors import UnavailableError
from edgetool_tensorrt.ssh.host import Host
from edgetool_tensorrt.ssh.refusals import login_refusal

ALIVE_EVERY = 5
"""Seconds between signs of life; three of them unanswered and the connection counts as broken."""

SSH_FAILED = 255
"""Exit code of ssh itself; no script of ours ends so."""

_LONGEST_FOLDER = 48  # characters: a Unix socket's path ends at 107, and ssh appends to it while it makes one
_ANYTHING_GOES = ("no", "off", "false")


def ssh_command(host: Host, *, timeout: float) -> list[str]:
    """`ssh` with the options that every call shares; the host and the command come after them.

    Raises:
        UnavailableError: `ssh-missing`.
        ConfigError: `ssh-config-invalid`.
    """
    configuration = os.environ.get("EDGETOOL_SSH_CONFIG")
    command = ["ssh", *(["-F", configuration] if configuration else [])]
    return [
        *command,
        *("-T", "-a", "-x"),
        *_option("BatchMode", "yes"),
        *_option("ConnectTimeout", str(max(1, round(timeout)))),
        *_option("ServerAliveInterval", str(ALIVE_EVERY)),
        *_option("ServerAliveCountMax", "3"),
        *_option("ClearAllForwardings", "yes"),
        *_option("RemoteCommand", "none"),
        *_option("ControlPersist", "no"),
        *_option("LogLevel", "INFO"),
        *_host_key_policy(command, host),
    ]


def started(command: list[str], *, stdin: int, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
    """A running ssh. Raises UnavailableError `ssh-missing`."""
    try:
        return subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr)
    except FileNotFoundError as error:
        raise _missing() from error


def socket_folder() -> Path | None:
    """Where the socket of a shared connection may lie; None where every path is too long for one."""
    places = (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp")
    usable = (Path(place) for place in places if place and len(place) <= _LONGEST_FOLDER)
    return next((place for place in usable if os.access(place, os.W_OK | os.X_OK)), None)


def _host_key_policy(command: list[str], host: Host) -> list[str]:
    """The user's own, except that a changed key is never accepted."""
    try:
        found = subprocess.run([*command, "-G", *host.arguments()], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise _missing() from error
    if found.returncode != 0:
        raise login_refusal(found.stderr, host=str(host), name=host.name)
    settings = dict(line.split(" ", 1) for line in found.stdout.splitlines() if " " in line)
    if settings.get("stricthostkeychecking") in _ANYTHING_GOES:
        return _option("StrictHostKeyChecking", "accept-new")
    return []


def _option(name: str, value: str) -> list[str]:
    return ["-o", f"{name}={value}"]


def _missing() -> UnavailableError:
    return UnavailableError(
        "ssh-missing",
        "there is no ssh program here",
        hint="install OpenSSH's client: apt install openssh-client",
    )
