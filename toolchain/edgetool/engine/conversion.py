"""The steps from a source to an engine, as tasks. Plugins are named by their loaders.

Importing this module is cheap: the parent builds requests with it, the child does the work.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgetool.artifact import Engine, Model
from edgetool.backends.base import Backend
from edgetool.context import BuildContext, ImportContext, PassContext
from edgetool.engine.desk import Handler, Result, Talk, handler
from edgetool.engine.reference import open_reference
from edgetool.engine.requests import DataRequest, ModelFile, Plug
from edgetool.engine.samples import LazySamples, open_data
from edgetool.errors import EdgetoolError, HostError, ModelError, UnavailableError
from edgetool.importers.base import Importer, ImportRequest, Source
from edgetool.passes.base import Pass
from edgetool.plugin.loading import load_object
from edgetool.signature import Signature


@dataclass(frozen=True, slots=True)
class ImportTask:
    """Turn a source into a proven Model in `directory`."""

    plug: Plug
    source: Source
    request: ImportRequest
    directory: Path
    threads: int
    samples: DataRequest | None = None


@dataclass(frozen=True, slots=True)
class DatasetTask:
    """Read all samples once: their digest, count and warnings.

    Attributes:
        keep: bytes up to which they stay in the memory of the child for its later tasks; None for what is usual.
    """

    data: DataRequest
    signature: Signature
    keep: int | None = None


@dataclass(frozen=True, slots=True)
class PassTask:
    """Apply a pass to a Model; what it writes goes into `directory`."""

    plug: Plug
    name: str
    model: ModelFile
    directory: Path
    threads: int
    calibration: DataRequest | None = None
    fixed_inputs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SupportTask:
    """A backend's static verdict."""

    plug: Plug
    model: ModelFile
    threads: int


@dataclass(frozen=True, slots=True)
class BuildTask:
    """Build an engine into `directory`."""

    plug: Plug
    model: ModelFile
    directory: Path
    threads: int


def run_import(task: ImportTask, talk: Talk) -> Result:
    from edgetool import graph
    from edgetool.validate.opened import record_opened

    importer = _make(task.plug, Importer)
    samples = None
    if task.samples is not None and task.request.inputs:
        samples = LazySamples(task.samples, Signature(task.request.inputs, (), task.request.dims), talk.desk)
    context = ImportContext(
        threads=task.threads,
        open_reference=lambda path: open_reference(path, task.threads),
        samples=samples,
        progress=talk.progress,
        note=talk.note,
    )
    try:
        with record_opened() as opened:
            result = importer.convert(task.source, task.request, task.directory, context)
    except EdgetoolError as error:
        own = error.where and error.where.startswith(str(task.directory))
        if own and not isinstance(error, HostError):  # of a full disk the user has to know which
            error.where = task.source.text  # the user's own file, not our copy of it
        raise
    # Samples prove the import and do not shape it. Code does not count as samples: a factory may share it with them.
    data = samples.read_files if samples else frozenset()
    files = [path for path in opened.files if path not in data or path.suffix == ".py"]
    return {
        "model": _relative(result.model.path, task.directory),
        "signature": result.model.signature.to_json(),
        "digest": graph.digest(result.model.path),
        "need": _need(result.model),
        "facts": dict(result.facts),
        "files": [str(path) for path in files if _belongs_to(task.source, path)],
    }


def _belongs_to(source: Source, path: Path) -> bool:
    """The source itself, its weights, and the project's own files; not what libraries read for themselves."""
    beside = source.path.parent if source.path else source.root
    return path in (source.path, source.weights) or path.is_relative_to(source.root) or path.is_relative_to(beside)


def run_dataset(task: DatasetTask, talk: Talk) -> Result:
    dataset = open_data(task.data, task.signature, talk.desk, keep=task.keep)
    return {
        "digest": dataset.digest,
        "count": dataset.count,
        "warnings": list(dataset.warnings),
        "feeds": sorted(digest.hex()[:32] for digest in dataset.census.feed_digests),
        "files": [str(path) for path in (*dataset.read_files, *dataset.read_folders)],
    }


def run_pass(task: PassTask, talk: Talk) -> Result:
    """Check, apply, and hold the pass to its promises."""
    from edgetool import graph

    chosen = _make(task.plug, Pass)
    model = task.model.model()
    problems = chosen.check(model)
    for problem in problems:
        if problem.severity == "warn":
            talk.note(str(problem))
    if refusals := [problem for problem in problems if problem.severity == "refuse"]:
        raise ModelError(
            "pass-not-applicable",
            f"{task.name} does not apply: " + "; ".join(map(str, refusals)),
            where=str(model.path.name),
            hint=next((problem.fix for problem in refusals if problem.fix), None),
        )
    before = graph.digest(model.path)
    calibration = None
    if task.calibration is not None:
        calibration = open_data(task.calibration, model.signature, talk.desk, fixed=task.fixed_inputs)
    context = PassContext(
        threads=task.threads,
        open_reference=lambda path: open_reference(path, task.threads),
        calibration=calibration,
        kept=talk.desk.kept,
        progress=talk.progress,
        note=talk.note,
    )
    result = chosen.apply(model, task.directory, context)
    if graph.digest(model.path) != before:
        raise _broken_promise(task.name, "it modified its input file")
    if not result.changed:
        if result.model.path != model.path:
            raise _broken_promise(task.name, "it says that nothing changed and returned another file")
        return {"changed": False, "facts": dict(result.facts)}
    if not chosen.changes_signature and _shape_of(result.model.signature) != _shape_of(model.signature):
        raise _broken_promise(task.name, "it changed the signature without declaring so")
    return {
        "changed": True,
        "model": _relative(result.model.path, task.directory),
        "signature": result.model.signature.to_json(),
        "digest": graph.digest(result.model.path),
        "need": _need(result.model),
        "facts": dict(result.facts),
        "rescaled": [{"tensors": dict(row.tensors), "factor": list(row.factor)} for row in result.rescaled],
    }


def _need(model: Model) -> Result:
    """What it takes of memory: for reports, so that nothing fails for it."""
    from edgetool.graph.footprint import memory_need

    return memory_need(model.path, model.signature).to_json()


def run_support(task: SupportTask, talk: Talk) -> Result:
    backend = _make(task.plug, Backend)
    support = backend.supports(task.model.model(), _build_context(task.threads, talk))
    return {
        "accelerator": support.accelerator,
        "accepted": support.accepted,
        "placements": [row.to_json() for row in support.placements],
        "problems": [problem.to_json() for problem in support.problems],
        "legalize": support.legalize and {"use": support.legalize.use, "options": dict(support.legalize.options)},
    }


def run_build(task: BuildTask, talk: Talk) -> Result:
    backend = _make(task.plug, Backend)
    engine = backend.build(task.model.model(), task.directory, _build_context(task.threads, talk))
    if engine.directory != task.directory or not engine.path.is_file():
        raise _broken_promise(engine.backend, f"its engine's file {engine.entry!r} is not in the build folder")
    return engine_json(engine)


def engine_json(engine: Engine) -> Result:
    return {
        "backend": engine.backend,
        "entry": engine.entry,
        "precision": engine.precision,
        "signature": engine.signature.to_json(),
        "lowerings": [row.to_json() for row in engine.lowerings],
        "facts": dict(engine.facts),
        "digest": directory_digest(engine.directory),
    }


def directory_digest(directory: Path) -> str:
    """sha256 over the names and bytes of all files below a folder."""
    digest = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            with path.open("rb") as handle:
                inner = hashlib.file_digest(handle, "sha256").hexdigest()
            digest.update(f"{inner}  {path.relative_to(directory).as_posix()}\n".encode())
    return digest.hexdigest()


def _build_context(threads: int, talk: Talk) -> BuildContext:
    return BuildContext(threads=threads, progress=talk.progress, note=talk.note)


def _make(plug: Plug, base: type[Any]) -> Any:
    kind = load_object(plug.loader, base, what=plug.loader)
    options = kind.Options.model_validate(plug.options)
    return kind(options) if plug.site is None else kind(options, plug.site)


def _shape_of(signature: Signature) -> object:
    """Names, dtypes and ranks: what a pass must keep. (Symbol names of outputs may be re-inferred.)"""
    return [
        [(spec.name, spec.dtype, len(spec.shape)) for spec in specs] for specs in (signature.inputs, signature.outputs)
    ]


def _relative(path: Path, directory: Path) -> str:
    try:
        return path.relative_to(directory).as_posix()
    except ValueError as error:
        raise _broken_promise(path.name, f"it wrote outside its work directory: {path}") from error


def _broken_promise(who: str, what: str) -> UnavailableError:
    return UnavailableError(
        "plugin-broke-promise", f"{who}: {what}", hint="report this to the plugin's author; nothing was kept"
    )


TASKS: Mapping[str, Handler] = {
    "import": handler(ImportTask, run_import),
    "dataset": handler(DatasetTask, run_dataset),
    "pass": handler(PassTask, run_pass),
    "supports": handler(SupportTask, run_support),
    "build": handler(BuildTask, run_build),
}
