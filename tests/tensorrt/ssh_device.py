"""A device for tests: a real sshd on 127.0.0.1 with keys, a home and programs of its own."""

from __future__ import annotations

import contextlib
import getpass
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ALIAS = "board"
"""What the device is called in the ssh configuration that tests use."""


@dataclass(frozen=True)
class Keys:
    """Made once for all tests: the device's host key, another one that it may turn up with, and the user's key."""

    host: Path
    other_host: Path
    user: Path

    @classmethod
    def make(cls, folder: Path) -> Keys:
        names = ("host", "other_host", "user")
        for name in names:
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
            subprocess.run(command, check=True)
        return cls(*(folder / name for name in names))


@dataclass
class SshDevice:
    """One device: its sshd, its home, and the ssh configuration that reaches it.

    Attributes:
        folder: everything about it.
        home: of the login; `home/bin` comes first in its PATH.
        config: for EDGETOOL_SSH_CONFIG.
    """

    sshd: str
    keys: Keys
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    port: int = 0
    _server: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def bin(self) -> Path:
        return self.home / "bin"

    @property
    def config(self) -> Path:
        return self.folder / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    def start(self, *, host_key: Path | None = None) -> None:
        """Start sshd, on the port that it had before."""
        self.bin.mkdir(parents=True, exist_ok=True)
        self.port = self.port or _free_port()
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # sshd started by root insists on it
        (self.folder / "authorized_keys").write_text(self.keys.user.with_suffix(".pub").read_text())
        settings = {
            "ListenAddress": "127.0.0.1",
            "Port": str(self.port),
            "HostKey": str(host_key or self.keys.host),
            "AuthorizedKeysFile": str(self.folder / "authorized_keys"),
            "PidFile": "none",
            "UsePAM": "no",
            "StrictModes": "no",
            "PermitRootLogin": "yes",
            "PasswordAuthentication": "no",
            "MaxStartups": "100",
            "PrintMotd": "no",
            "SetEnv": f'"HOME={self.home}" "PATH={self.bin}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"',
            **self.settings,
        }
        configuration = self.folder / "sshd_config"
        configuration.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        log = self.folder / "sshd.log"
        self._server = subprocess.Popen([self.sshd, "-D", "-f", str(configuration), "-E", str(log)])
        self._write_client_side()
        _wait_for_port(self.port, log)

    def stop(self) -> None:
        """End sshd and all of its sessions; what they started and detached goes on, as on a real device."""
        if self._server is not None:
            for pid in [*_descendants(self._server.pid, program="sshd"), self._server.pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._server.wait()
            self._server = None

    def drop_connections(self) -> None:
        """Kill the sessions; sshd itself stays, so that the client may come back."""
        assert self._server is not None
        for pid in _descendants(self._server.pid, program="sshd"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def program(self, name: str, text: str) -> Path:
        """Install a shell script."""
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{text}")
        path.chmod(0o755)
        return path

    def running(self) -> list[str]:
        """Command lines of what runs in the device's home."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (process / "cwd").readlink().is_relative_to(self.home):
                    found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        return found

    def is_quiet(self, *, within: float) -> bool:
        """Whether nothing runs there any more, after so many seconds at most."""
        return wait_until(lambda: not self.running(), seconds=within)

    def files(self) -> list[str]:
        """What lies in edgetool's folder there, relative to it."""
        root = self.home / ".cache" / "edgetool"
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())

    def _write_client_side(self) -> None:
        public = self.keys.host.with_suffix(".pub").read_text().split()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {public[0]} {public[1]}\n")
        self.config.write_text(
            f"Host {ALIAS}\n"
            f"  HostName 127.0.0.1\n  Port {self.port}\n  User {getpass.getuser()}\n"
            f"  IdentityFile {self.keys.user}\n  IdentitiesOnly yes\n  IdentityAgent none\n"
            f"  UserKnownHostsFile {self.known_hosts}\n  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n"
        )


def wait_until(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for_port(port: int, log: Path) -> None:
    def answers() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    assert wait_until(answers, seconds=10), log.read_text()


def _descendants(parent: int, *, program: str) -> list[int]:
    """Processes below `parent` that run `program`."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            text = status.read_text()
            name = text[text.index("(") + 1 : text.rindex(")")]
            parents[int(status.parent.name)] = (int(text.rpartition(")")[2].split()[1]), name)

    def is_below(pid: int) -> bool:
        above = parents.get(pid, (0, ""))[0]
        return above == parent or (above > 1 and is_below(above))

    return [pid for pid, (_, name) in parents.items() if name.startswith(program) and is_below(pid)]
