"""A project that builds in two seconds, the command as a process of its own, and what to ask of it afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

SLOW = pytest.mark.slow
"""For cases that say little more than the quick one beside them."""

TARGETS = """\
schema = 1
[model]
name = "tiny"
version = "1.0.0"
source = "model.onnx"
[data]
calibration = "calib"
evaluation = "eval"
[recipes.int8]
passes = [{ use = "simplify" }, { use = "quantize-static" }]
[targets.float]
backend = "onnxruntime"
[targets.int8]
backend = "onnxruntime"
recipe = "int8"
[targets.openvino]
backend = "openvino"
"""


@dataclass(frozen=True)
class Project:
    """A folder with a model, data and targets, and a cache of its own.

    Attributes:
        folder: holds targets.toml.
        cache: for EDGETOOL_CACHE_DIR.
    """

    folder: Path
    cache: Path

    def environment(self, **extra: str) -> dict[str, str]:
        return {**os.environ, "EDGETOOL_CACHE_DIR": str(self.cache), "OMP_NUM_THREADS": "1", **extra}

    def start(self, *arguments: str | Path, **extra: str) -> subprocess.Popen[str]:
        """The command in a session of its own, so that signals to its group reach nobody else."""
        return subprocess.Popen(
            [sys.executable, "-m", "edgetool", *map(str, arguments)],
            cwd=self.folder,
            env=self.environment(**extra),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def build(self, *arguments: str | Path, target: str = "float", **extra: str) -> subprocess.CompletedProcess[str]:
        """`edgetool build`, waited for. Measuring is kept short: nothing here is about latencies."""
        command = [sys.executable, "-m", "edgetool", "build", "-t", target, "--latency-time", "0.05s"]
        return subprocess.run(
            [*command, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment(**extra),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=120,
        )


def processes_of(cache: Path) -> list[int]:
    """Processes that work with this cache, zombies left out."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"EDGETOOL_CACHE_DIR={cache}\0".encode() in (entry / "environ").read_bytes() + b"\0":
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def wait_until_gone(cache: Path, *, seconds: float = 10) -> list[int]:
    """Processes that are still there in the end."""
    deadline = time.monotonic() + seconds
    while (left := processes_of(cache)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


@contextmanager
def running(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """A process that is certainly gone afterwards, with its whole session."""
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def one_error(stderr: str, code: str) -> None:
    """Exactly one error, with that code, a hint, and no traceback."""
    assert "Traceback" not in stderr, stderr
    lines = [line for line in stderr.splitlines() if line.startswith("error[")]
    assert [line.partition("]")[0] for line in lines] == [f"error[{code}"], stderr
    if code != "interrupted-by-user":
        assert "hint:" in stderr


def bytes_of(bundle: Path) -> dict[str, bytes]:
    """All files of a bundle but the measurements, which differ from run to run."""
    return {
        path.relative_to(bundle).as_posix(): path.read_bytes()
        for path in sorted(bundle.rglob("*"))
        if path.is_file() and path.name != "measurements.json"
    }
