"""Runs one command on one mutant, within limits, and judges what it did."""

from __future__ import annotations

import hashlib
import os
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.robustness.forked import end_with_parent, fork, spawn_by_fork

DOCUMENTED = frozenset({0, 2, 3, 4, 5, 6, 7, 8, 9, 10})
"""Exit codes that the handbook knows and a file can cause: not 1, a bug, and not 130, Ctrl-C."""

SECRET = b"secret-b1946ac92492d2347c6235b4d2611184"
"""Lies outside of every mutant's folder; no command has any business with it."""

_BLAMED = re.compile(r"(?P<code>plugin-failed|plugin-broke-promise)\W.*?(?P<place>[\w/]*\.py:\d+|$)")
"""Codes that say that a plugin is broken: ours are not, so the file was not looked at well enough."""
_ERROR = re.compile(r"error\[(?P<plain>[a-z0-9-]+)\]|\"code\": ?\"(?P<json>[a-z0-9-]+)\"")
_SHOWN = 12
_PACKAGES = (
    "edgetool", "edgetool_onnx", "edgetool_onnxruntime", "edgetool_passes", "edgetool_firmware",
    "edgetool_c", "edgetool_openvino", "edgetool_tensorrt",
)  # fmt: skip
_LIBRARIES = (
    "numpy", "onnx_ir.passes.common", "onnxscript.optimizer", "pydantic.dataclasses", "pydantic.type_adapter",
    "edgetool_tensorrt.plan_description",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one command may take, with all that it starts: seconds, and bytes of each process."""

    seconds: float = 60.0
    cpu_seconds: int = 20
    address_space: int = 8 << 30
    resident: int = 1 << 30
    file_size: int = 1 << 30


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit code, or minus the signal; None where it had to be stopped."""

    code: int | None
    output: str
    seconds: float
    resident: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """`outcome` is `exit 3 invalid-model`, say; `defect` what it should never do, or None."""

    outcome: str
    defect: str | None


class Ground:
    """Where commands run: a folder for the mutant, a home and a secret beside it that have to stay as they are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder / "work"
        (folder / "home").mkdir(parents=True)
        (folder / "sentinel").mkdir()
        (folder / "sentinel" / "secret.bin").write_bytes(SECRET)
        (folder / "home" / "secret.bin").write_bytes(SECRET)
        self._log = folder / "output.log"
        self._log.touch()
        self.clear()
        self._around = self._surroundings()

    @property
    def output(self) -> str:
        """What the last command said."""
        return self._log.read_text(errors="replace")

    def clear(self) -> None:
        """An empty work folder."""
        shutil.rmtree(self.work, ignore_errors=True)
        for name in ("tmp", "cache"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            (self.folder / name).mkdir()
        self.work.mkdir()

    def changed(self) -> str | None:
        """What was written where nothing may be written; it is put right for the next one."""
        now = self._surroundings()
        if now == self._around:
            return None
        differing = sorted(name for name in now.keys() | self._around.keys() if now.get(name) != self._around.get(name))
        self._around = now
        return ", ".join(differing)

    def _surroundings(self) -> dict[str, str]:
        """Everything beside the folders that the command is told to write into, and the log."""
        told = {self.work.name, "tmp", "cache", self._log.name}
        found = {}
        for top in self.folder.iterdir():
            for path in [] if top.name in told else [top, *top.rglob("*")]:
                state = path.lstat()
                data = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
                found[str(path.relative_to(self.folder))] = (
                    f"{state.st_mode} {state.st_size} {state.st_mtime_ns} {data}"
                )
        return found

    def environment(self) -> dict[str, str]:
        folder = self.folder
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith("XDG_")},
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "EDGETOOL_CACHE_DIR": str(folder / "cache"),
            "OMP_NUM_THREADS": "1",
            "ORT_DISABLE_TELEMETRY": "1",
            "NO_COLOR": "1",
        }

    def run(self, command: Sequence[str], bounds: Bounds, *, started: bool) -> Ended:
        """Run `edgetool COMMAND` in the work folder.

        Args:
            command: arguments.
            bounds: are enforced.
            started: as a new program, as users do; else as a fork of this process.
        """
        begun = time.monotonic()
        pid = self._start(command, bounds) if started else self._fork(command, bounds)
        ready = _wait(pid, bounds.seconds)
        if not ready:
            _kill_group(pid)
        _, status, usage = os.wait4(pid, 0)
        _kill_group(pid)
        code = os.waitstatus_to_exitcode(status) if ready else None
        output = self._log.read_bytes()[: 1 << 20].decode(errors="replace")
        return Ended(code, output, time.monotonic() - begun, usage.ru_maxrss * 1024)

    def _fork(self, command: Sequence[str], bounds: Bounds) -> int:
        def work() -> int:
            self._redirect()
            environment = self.environment()
            os.environ.clear()
            os.environ.update(environment)
            os.chdir(self.work)
            _limit(bounds)
            return run_command(command)

        return fork(work)

    def _start(self, command: Sequence[str], bounds: Bounds) -> int:
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "edgetool", *command],
                cwd=self.work, env=self.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, preexec_fn=lambda: _limit(bounds),
            )  # fmt: skip
        process.returncode = 0  # it is waited for here, where its memory is asked for
        return process.pid

    def _redirect(self) -> None:
        with self._log.open("wb") as log, Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), 0)
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        sys.stdin = os.fdopen(0, "r", closefd=False)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)


def judge(ended: Ended, bounds: Bounds, *, outside: str | None) -> Judgement:
    """Name the outcome, and the defect if there is one."""
    output = ended.output
    error = _ERROR.search(output)
    if ended.code is None:
        return Judgement("hang", f"did not end within {bounds.seconds:g} s")
    if ended.code < 0:
        name = signal.Signals(-ended.code).name
        return Judgement(f"killed by {name}", f"crashed: {name}")
    code = f" {error['plain'] or error['json']}" if error and ended.code else ""
    outcome = f"exit {ended.code}{code}"
    return Judgement(outcome, _defect(ended, bounds, outside=outside))


def _defect(ended: Ended, bounds: Bounds, *, outside: str | None) -> str | None:
    if outside:
        return f"wrote outside of its folder: {outside}"
    if SECRET.decode() in ended.output:
        return "printed what lies outside of its folder"
    if "Traceback (most recent call last)" in ended.output:
        return "traceback: " + (ended.output.strip().splitlines() or [""])[-2 if "error[" in ended.output else -1][:200]
    if ended.code not in DOCUMENTED:
        return f"exit code {ended.code} is not documented for files"
    if "SIGXCPU" in ended.output:
        return f"took more than {bounds.cpu_seconds} s of processor time"
    if blamed := _BLAMED.search(ended.output):
        return f"blamed on a plugin: {blamed['code']} {blamed['place']}".rstrip()
    if ended.resident > bounds.resident:
        return f"took {ended.resident >> 20} MiB of memory"
    return None


def summary_of(output: str) -> list[str]:
    """The end of what a command said, for a report of a defect."""
    return [line[:300] for line in output.strip().splitlines()[-_SHOWN:]]


def _limit(bounds: Bounds) -> None:
    end_with_parent()
    limits: Mapping[int, int] = {
        resource.RLIMIT_AS: bounds.address_space,
        resource.RLIMIT_CPU: bounds.cpu_seconds,
        resource.RLIMIT_FSIZE: bounds.file_size,
        resource.RLIMIT_CORE: 0,
    }
    for which, most in limits.items():
        # The second limit of processor time kills without a word, so it comes later.
        resource.setrlimit(which, (most, most + 2 if which == resource.RLIMIT_CPU else most))


def run_command(arguments: Sequence[str]) -> int:
    """The command itself, with child processes that are forks."""
    from edgetool.cli.entry import main
    from edgetool.engine import isolate

    isolate._spawn = spawn_by_fork
    try:
        main(list(arguments))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _wait(pid: int, seconds: float) -> bool:
    """Whether the process ended by itself within these seconds."""
    descriptor = os.pidfd_open(pid)
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def import_everything() -> None:
    """What commands import while they work, so that forks have it."""
    os.environ.update(ORT_DISABLE_TELEMETRY="1", OMP_NUM_THREADS="1", PYDANTIC_DISABLE_PLUGINS="__all__")
    import importlib
    import pkgutil

    for name in ("onnx.checker", "onnx.shape_inference", "onnxruntime", "cryptography.x509", *_LIBRARIES):
        importlib.import_module(name)
    for package in _PACKAGES:
        for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if not found.name.endswith(("__main__", "pytest_plugin")):
                importlib.import_module(found.name)
    _prepare_once()


def _prepare_once() -> None:
    """The command line's parser and the plugins' records are the same each time, and half of a short command's work."""
    import functools

    import typer.main

    from edgetool.cli.app import app
    from edgetool.plugin import manager

    typer.main.get_command = functools.cache(typer.main.get_command)
    manager.load_plugins = functools.cache(manager.load_plugins)
    typer.main.get_command(app)
    manager.load_plugins()
