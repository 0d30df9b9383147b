"""The self-test in C on an emulated processor of another family, with the runtime's own library for it."""

from __future__ import annotations

import glob
import re
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgetool.bundle.layout import IO_FOLDER, MODEL_FOLDER
from edgetool.disk import host_errors
from edgetool.emulate.agreement import Agreement, Ran
from edgetool.emulate.interpreter import LEASHED
from edgetool.emulate.trial import require
from edgetool.emulate.ways import CrossTested, NotShown
from edgetool.engine.cache import default_root
from edgetool.engine.desk import Handler, Result, Talk, handler
from edgetool.engine.requests import EngineFile, request_json
from edgetool.errors import UnavailableError
from edgetool.selftest import selftest_sources

_CROSS_ROOT = Path("/usr/aarch64-linux-gnu")
_WHEEL_TAG = "manylinux_2_28_aarch64"
_PASSED, _MISMATCH = 0, 1
_LINE = re.compile(
    r"case (?P<case>\d+): (?P<output>.*?): (?P<wrong>WRONG: )?"
    r"(?P<shown>cosine (?P<cosine>\S+), gain \S+, largest error (?P<error>\S+)|\S+% of the values are equal"
    r"|\d+ values are NaN or infinite on one side only|it is .*)"
)
"""What the self-test says of one output."""

_IN_WHEEL = {"onnxruntime": "onnxruntime/capi/libonnxruntime.so."}
"""Runtime of the self-test, which is also its wheel -> its library; OpenVINO's C sources want headers, too."""


@dataclass(frozen=True, slots=True)
class Library:
    """A runtime for another processor.

    Attributes:
        wheel: file that it is in.
        prefix: of its path in there.
    """

    wheel: Path
    prefix: str


@dataclass(frozen=True, slots=True)
class CrossTask:
    """Compile the self-test that comes with the backend, never what lies in a bundle, and run it.

    Attributes:
        feeds: golden data.
        cpuinfo: what the program sees as /proc/cpuinfo; None leaves it the host's.
        needed: feeds without which the processor proved nothing.
        seconds: for all of it.
    """

    engine: EngineFile
    feeds: Path
    way: CrossTested
    library: Library
    cpuinfo: str | None
    needed: int
    seconds: float


def library_for(way: CrossTested, arch: str, version: str) -> Library | NotShown:
    """The library of this version. Of any Python's wheel: it is the same in all."""
    prefix = _IN_WHEEL.get(way.runtime)
    if prefix is None:
        return NotShown(f"{way.runtime} for {arch} cannot be had here", "validate it on such a machine")
    wheels = default_root() / "wheels"
    found = sorted(wheels.glob(f"{way.runtime}-{glob.escape(version)}-*{arch}.whl"))
    if found:
        return Library(found[-1], prefix)
    return NotShown(
        f"{way.runtime} {version} for {arch} is not in {wheels}",
        f"fetch it: python -m pip download --no-deps --only-binary :all: --platform {_WHEEL_TAG} "
        f"--dest {wheels} {way.runtime}=={version}",
    )


def run_cross(task: CrossTask, talk: Talk) -> Result:
    """As many feeds as the time allows.

    Raises:
        HostError: `step-timed-out`: not even those that are needed; or the disk is full.
        UnavailableError: the self-test cannot be compiled, or does not run.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="edgetool-emulate-") as name:
        folder = Path(name)
        with host_errors(folder):
            shared = _extracted(task.library, folder)
            staged = _stage(task, folder)
            root = _root(task.cpuinfo, folder)
        program = _compiled(task.way.compiler, staged / "src", folder)
        command = [task.way.program, "-cpu", task.way.cpu, "-L", str(root), str(program)]
        left = max(0.0, task.seconds - (time.monotonic() - began))
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-S", "-c", LEASHED, *command, "--library", str(shared), "--threads", "1",
                 str(staged)],
                capture_output=True, timeout=left, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            rows = tuple(rows_of(error.stdout, error.stderr))
            require(len({row.case for row in rows}), task.needed, task.seconds, error)
        else:
            rows = tuple(rows_of(done.stdout, done.stderr))
            if done.returncode not in (_PASSED, _MISMATCH):
                raise _ended(done)
    return request_json(Ran(rows, len({row.case for row in rows}), round(time.monotonic() - began, 1)))


def rows_of(*streams: bytes | None) -> Iterator[Agreement]:
    """What the self-test says on stdout and stderr, one output a line; None where it said nothing."""
    text = "\n".join((stream or b"").decode("utf-8", "replace") for stream in streams)
    for found in filter(None, map(_LINE.fullmatch, text.splitlines())):
        measured = found["cosine"] is not None
        yield Agreement(
            case=int(found["case"]),
            output=found["output"],
            agrees=found["wrong"] is None,
            shown=found["shown"],
            cosine=float(found["cosine"]) if measured else None,
            max_abs=float(found["error"]) if measured else None,
        )


def _ended(done: subprocess.CompletedProcess[bytes]) -> UnavailableError:
    if done.returncode < 0:
        how = f"the self-test crashed: {signal.Signals(-done.returncode).name}"
    else:
        how = f"the self-test did not run: {_last(done.stderr)} (exit status {done.returncode})"
    return UnavailableError("step-crashed", how, hint="use a build of the runtime for this processor")


def _extracted(library: Library, folder: Path) -> Path:
    with zipfile.ZipFile(library.wheel) as archive:
        name = next(name for name in archive.namelist() if name.startswith(library.prefix))
        return Path(archive.extract(name, folder))


def _stage(task: CrossTask, folder: Path) -> Path:
    """A folder that looks like a bundle, with our own sources, the engine and the feeds."""
    staged = folder / "bundle"
    (staged / "src").mkdir(parents=True)
    (staged / MODEL_FOLDER).symlink_to(task.engine.directory)
    (staged / IO_FOLDER).symlink_to(task.feeds)
    own = task.engine.plugin().device_sources(task.engine.engine())
    assert own is not None  # the way was chosen because there is one
    for name, content in selftest_sources(f"{MODEL_FOLDER}/{task.engine.entry}", task.feeds, own).items():
        (staged / "src" / name).write_bytes(content)
    return staged


def _root(cpuinfo: str | None, folder: Path) -> Path:
    """What the program sees as /: the cross compiler's libraries, and the processor's own /proc/cpuinfo."""
    root = folder / "root"
    root.mkdir()
    (root / "lib").symlink_to(_CROSS_ROOT / "lib")
    if cpuinfo is not None:
        (root / "proc").mkdir()
        (root / "proc" / "cpuinfo").write_text(cpuinfo)
    return root


def _compiled(compiler: str, sources: Path, folder: Path) -> Path:
    program = folder / "edgetool-selftest"
    command = [compiler, "-std=c11", "-O1", "-o", str(program), *map(str, sorted(sources.glob("*.c"))), "-ldl", "-lm"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    if done.returncode:
        raise UnavailableError(
            "cross-compiler-failed",
            f"the self-test cannot be compiled: {_last(done.stderr)}",
            where=compiler,
            hint=f"install the C library for it: {compiler} has to compile a program that includes stdio.h",
        )
    return program


def _last(text: bytes) -> str:
    lines = [line for line in text.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it says nothing"


TASKS: Mapping[str, Handler] = {
    "cross-test": handler(CrossTask, run_cross),
}
