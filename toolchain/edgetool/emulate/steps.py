"""The steps of an emulated cell, each from the cache where nothing changed: its feeds, and its run."""

from __future__ import annotations

import functools
import subprocess
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgetool.emulate.agreement import Feeding, Ran, ran_from
from edgetool.emulate.cross import CrossTask, Library
from edgetool.emulate.feeds import FeedsTask, Samples
from edgetool.emulate.judge import Cell
from edgetool.emulate.trial import EmulateTask
from edgetool.emulate.ways import CrossTested, Emulated, Masked
from edgetool.engine.cache import sha256_of
from edgetool.engine.conversion import directory_digest
from edgetool.engine.fingerprint import code_digest
from edgetool.engine.requests import EngineFile, request_json
from edgetool.engine.stepper import Stepper, StepRequest
from edgetool.engine.survey import tool_versions
from edgetool.host import read_host

SAMPLES = 8
"""An emulator is slow, and a kernel that is wrong is wrong from the first sample on."""

_PATIENCE = 600.0
"""Seconds for the same feeds on this machine."""


@dataclass(frozen=True, slots=True)
class Bundled:
    """An engine that lies in a bundle.

    Attributes:
        golden: folder of its golden data.
        runtime: version of its runtime.
        samples: None where nobody says where they are: a bundle holds none.
    """

    engine: EngineFile
    golden: Path
    runtime: str
    samples: Samples | None


def make_feeds(subject: Bundled, stepper: Stepper) -> Feeding:
    """The golden cases, and the evaluation samples with what the engine gives for them here.

    Raises:
        EdgetoolError: the samples cannot be read, or the engine does not run here.
    """
    from edgetool.bundle.golden import read_golden, read_min_cosine

    engine, golden, samples = subject.engine, subject.golden, subject.samples
    min_cosine = read_min_cosine(golden)
    if samples is None:
        return Feeding(golden, len(read_golden(golden)), 0, min_cosine)
    request = replace(samples.request, limit=SAMPLES, digest=None)
    described = request_json(request)
    del described["root"], described["digest"]
    entry = stepper.run(
        StepRequest(
            name="emulation-data",
            task="emulation-feeds",
            parts={
                **_engine_parts(engine),
                "golden": directory_digest(golden),
                "data": described,
                "fixed_inputs": samples.fixed_inputs,
                "host": _host(),
            },
            make=lambda folder: FeedsTask(
                engine, golden, replace(samples, request=request), folder, stepper.log_path("engine"), _PATIENCE
            ),
            discovers=True,
        )
    )
    return Feeding(entry.directory, int(entry.result["golden"]), int(entry.result["samples"]), min_cosine)


def run_emulated(
    cell: Cell, way: Masked | Emulated, subject: Bundled, feeding: Feeding, stepper: Stepper, *, seconds: float
) -> Ran:
    """The runtime itself, under the emulator or with a mask.

    Raises:
        EdgetoolError: the engine does not open there, or did not come through the golden inputs in time.
    """
    if isinstance(way, Masked):
        shown = {"variable": way.variable, "value": way.value, "host": " ".join(_host())}
    else:
        shown = _emulator(way.program)
    entry = stepper.run(
        StepRequest(
            name=f"emulate {cell.name}",
            task="emulate",
            parts={
                **_cell_parts(cell, subject, feeding, seconds),
                "way": shown,
            },
            make=lambda folder: EmulateTask(
                subject.engine, feeding.folder, way, feeding.golden, stepper.log_path("engine"), seconds
            ),
        )
    )
    return ran_from(entry.result)


def run_cross(
    cell: Cell,
    way: CrossTested,
    library: Library,
    subject: Bundled,
    feeding: Feeding,
    stepper: Stepper,
    *,
    seconds: float,
) -> Ran:
    """The self-test in C with the runtime's library for that processor.

    Raises:
        EdgetoolError: it cannot be compiled, does not run, or did not come through the golden inputs in time.
    """
    cpuinfo = cell.processor.cpuinfo
    entry = stepper.run(
        StepRequest(
            name=f"emulate {cell.name}",
            task="cross-test",
            parts={
                **_cell_parts(cell, subject, feeding, seconds),
                "way": _emulator(way.program),
                "compiler": _version(way.compiler),
                "library": sha256_of(library.wheel),
            },
            make=lambda folder: CrossTask(
                subject.engine,
                feeding.folder,
                way,
                library,
                cpuinfo.text() if cpuinfo is not None else None,
                feeding.golden,
                seconds,
            ),
        )
    )
    return ran_from(entry.result)


def _cell_parts(cell: Cell, subject: Bundled, feeding: Feeding, seconds: float) -> dict[str, Any]:
    return {
        **_engine_parts(subject.engine),
        "feeds": directory_digest(feeding.folder),
        "processor": asdict(cell.processor),
        "seconds": seconds,
    }


def _engine_parts(engine: EngineFile) -> dict[str, Any]:
    return {
        "engine": directory_digest(engine.directory),
        "use": engine.backend,
        "options": dict(engine.options),
        "threads": engine.threads,
        "code": code_digest(engine.loader),
        "tools": tool_versions(engine.plugin().tools()),
    }


def _host() -> list[str]:
    """Whose kernels gave what the other processor is compared with: a cache may come from another machine."""
    host = read_host()
    return [host.arch, host.cpu or "", *host.isa]


def _emulator(program: str) -> dict[str, str]:
    return {"emulator": Path(program).name, "version": _version(program)}


@functools.cache
def _version(program: str) -> str:
    """The first line of what `--version` says; "" where it says nothing, which the run itself will tell about."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.partition("\n")[0]
