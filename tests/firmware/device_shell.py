"""A device without Python: its shell and its programs, from busybox or from the usual packages."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = (
    "awk", "basename", "cat", "chmod", "cp", "cut", "dirname", "find", "grep", "head", "ln", "mkdir", "mktemp", "mv",
    "openssl", "readlink", "rm", "sed", "sh", "sha256sum", "sort", "sync", "timeout", "touch", "tr", "wc",
)  # fmt: skip


@dataclass
class DeviceShell:
    """Runs scripts with nothing but certain programs.

    Attributes:
        shell: what reads the script.
        programs: the only folder in PATH.
        etc: stands for /etc/edgetool; empty at first.
        environment: more variables.
    """

    shell: tuple[str, ...]
    programs: Path
    etc: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, script: Path, *arguments: str | Path, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.shell, str(script), *map(str, arguments)],
            env={"PATH": str(self.programs), "EDGETOOL_ETC": str(self.etc), "HOME": "/", **self.environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            start_new_session=True,
        )

    def without(self, program: str) -> None:
        (self.programs / program).unlink()


def make_device(folder: Path, require: Callable[[str], str], *, busybox: bool) -> DeviceShell:
    """A device below `folder`; with busybox every program is its own, but for those that it does not have."""
    programs = folder / "programs"
    programs.mkdir(parents=True)
    applets: list[str] = []
    if busybox:
        applets = subprocess.run(
            [require("busybox"), "--list"], capture_output=True, text=True, check=True
        ).stdout.split()
    for name in PROGRAMS:
        target = require("busybox") if name in applets else require({"sh": "dash", "awk": "mawk"}.get(name, name))
        if name == "sync":  # of the whole machine, many times a test: what it is good for no test can see
            target = require("true")
        (programs / name).symlink_to(target)
    etc = folder / "etc"
    etc.mkdir()
    shell = (require("busybox"), "sh") if busybox else (require("dash"),)
    return DeviceShell(shell, programs, etc)


def interfere(programs: Path, names: tuple[str, ...], before: str) -> None:
    """Put a script before programs: it runs `before` first, with the program's name in `name`."""
    for name in names:
        target = (programs / name).readlink()
        (programs / name).unlink()
        call = shlex.join([str(target), name] if target.name == "busybox" else [str(target)])
        (programs / name).write_text(f'#!/bin/sh\nname={name}\n{before}\nexec {call} "$@"\n')
        (programs / name).chmod(0o755)


def tree_state(folder: Path) -> Mapping[str, str]:
    """What is below a folder: links as `-> TARGET`, files by their bytes."""
    return {
        str(path.relative_to(folder)): f"-> {path.readlink()}" if path.is_symlink() else path.read_bytes().hex()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }
