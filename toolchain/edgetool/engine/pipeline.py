"""The steps of a build, each as a function: import, passes, the backend's verdict, the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from edgetool.artifact import Facts
from edgetool.config.schema import DataTable
from edgetool.engine.conversion import BuildTask, DatasetTask, ImportTask, PassTask, SupportTask
from edgetool.engine.events import StepNote, Warned
from edgetool.engine.fingerprint import relative_name
from edgetool.engine.keys import backend_parts, plugin_parts
from edgetool.engine.plan import plan_pass
from edgetool.engine.planned import BuildPlan, Planned, PlannedBackend, PlannedPass
from edgetool.engine.requests import DataRequest, ModelFile, Plug, request_json
from edgetool.engine.stepper import Stepper, StepRequest
from edgetool.errors import ConfigError, ModelError
from edgetool.plugin.manager import Plugins
from edgetool.problem import Problem
from edgetool.signature import Signature, signature_from_json

Purpose = Literal["calibration", "evaluation"]


@dataclass(frozen=True, slots=True)
class ModelState:
    """A Model between two steps; `need` is what it takes of memory, as `MemoryNeed.to_json` says it."""

    path: Path
    signature: Signature
    digest: str
    need: Facts | None = None

    def file(self) -> ModelFile:
        return ModelFile(self.path, self.signature)


@dataclass(frozen=True, slots=True)
class DataState:
    """Samples that were read once: what they are, not the samples themselves. `feeds` are digests, one a sample."""

    request: DataRequest
    digest: str
    count: int
    feeds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PassRecord:
    """What a pass did, for the manifest."""

    name: str
    options: Mapping[str, Any]
    provider: str
    changed: bool
    facts: Facts
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model ready for its backend.

    Attributes:
        reference: as imported, before any pass: what the engine is compared with.
        model: after the last pass.
        passes: what was done.
        source: facts of the import.
        source_digest: sha256 of the source file, or of the imported model for a factory.
        calibration: None when no pass wanted data.
        fixed_inputs: inputs that `specialize` turned into constants, with their values.
    """

    reference: ModelState
    model: ModelState
    passes: tuple[PassRecord, ...]
    source: Facts
    source_digest: str
    calibration: DataState | None
    fixed_inputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A backend's static verdict, as its child told it."""

    accelerator: str
    placements: tuple[Mapping[str, Any], ...]
    problems: tuple[Problem, ...]
    legalize: Mapping[str, Any] | None

    @property
    def refusals(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "refuse")

    @property
    def off_accelerator(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(row for row in self.placements if row["device"] != self.accelerator)


@dataclass(frozen=True, slots=True)
class BuiltEngine:
    """An engine in the cache, and what is known of it."""

    backend: PlannedBackend
    directory: Path
    entry: str
    precision: str
    signature: Signature
    lowerings: tuple[Mapping[str, Any], ...]
    facts: Facts
    digest: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """How a Model came about: facts of its import, and the sha256 of its source."""

    facts: Facts
    digest: str


def import_model(plan: BuildPlan, stepper: Stepper, *, threads: int) -> tuple[ModelState, Provenance]:
    """The source as a proven Model, and how it came about."""
    source = plan.source
    entry = stepper.run(
        StepRequest(
            name="import",
            task="import",
            parts={
                **plugin_parts(plan.importer),
                "request": request_json(plan.request),
                "factory": source.factory,
                "source": source.path.name if source.path else None,
                "trusted": source.trusted,
            },
            make=lambda folder: ImportTask(
                plug=_plug(plan.importer),
                source=source,
                request=plan.request,
                directory=folder,
                threads=threads,
                samples=_samples(plan),
            ),
            discovers=True,
            isolated=plan.importer.isolated,
        )
    )
    result = entry.result
    state = ModelState(
        entry.directory / result["model"],
        signature_from_json(result["signature"]),
        str(result["digest"]),
        result["need"],
    )
    files = entry.parts["files"]
    digest = files[relative_name(str(source.path), plan.config.root)] if source.path else state.digest
    return state, Provenance(result["facts"], digest)


def apply_passes(plan: BuildPlan, stepper: Stepper, *, threads: int) -> Prepared:
    """Import, then every pass of the recipe in order."""
    return apply_recipe(plan, import_source(plan, stepper, threads=threads), stepper, threads=threads)


def import_source(plan: BuildPlan, stepper: Stepper, *, threads: int) -> Prepared:
    """The imported model, before any pass."""
    reference, source = import_model(plan, stepper, threads=threads)
    return Prepared(reference, reference, (), source.facts, source.digest, None)


def apply_recipe(plan: BuildPlan, imported: Prepared, stepper: Stepper, *, threads: int) -> Prepared:
    """Every pass of the plan in order, with calibration data where one of them can use it."""
    calibration = None
    welcome = any(row.welcomes_calibration for row in plan.passes) and data_request(plan, "calibration") is not None
    if welcome or any(row.wants_calibration for row in plan.passes):
        calibration = read_data(plan, stepper, "calibration", imported.reference.signature)
    prepared = replace(imported, calibration=calibration)
    for row in plan.passes:
        prepared = apply_pass(row, prepared, stepper, threads=threads)
    return prepared


def apply_pass(
    row: PlannedPass, prepared: Prepared, stepper: Stepper, *, threads: int, why: str | None = None
) -> Prepared:
    """One pass on the prepared model."""
    model = prepared.model
    data = prepared.calibration if row.wants_calibration or row.welcomes_calibration else None
    entry = stepper.run(
        StepRequest(
            name=row.name,
            task="pass",
            parts={
                **plugin_parts(row),
                "input": model.digest,
                "signature": model.signature.to_json(),
                "calibration": data.digest if data else None,
            },
            make=lambda folder: PassTask(
                plug=_plug(row),
                name=row.name,
                model=model.file(),
                directory=folder,
                threads=threads,
                calibration=data.request if data else None,
                fixed_inputs=dict(prepared.fixed_inputs),
            ),
            isolated=row.isolated,
        )
    )
    result = entry.result
    if result["changed"]:
        model = ModelState(
            entry.directory / result["model"],
            signature_from_json(result["signature"]),
            str(result["digest"]),
            result["need"],
        )
    facts = {**result["facts"], "footprint": {"before": _sizes(prepared.model), "after": _sizes(model)}}
    record = PassRecord(row.name, row.options, row.provider, bool(result["changed"]), facts, why)
    fixed = result["facts"].get("fixed_inputs") or {}
    return Prepared(
        reference=prepared.reference,
        model=model,
        passes=(*prepared.passes, record),
        source=prepared.source,
        source_digest=prepared.source_digest,
        calibration=prepared.calibration,
        fixed_inputs={**prepared.fixed_inputs, **fixed},
    )


def _sizes(model: ModelState) -> dict[str, Any] | None:
    return {name: model.need[name] for name in ("weights", "activations")} if model.need else None


def read_data(
    plan: BuildPlan, stepper: Stepper, purpose: Purpose, signature: Signature, *, keep: int | None = None
) -> DataState:
    """Read all samples of `[data] calibration` or `evaluation` once; up to `keep` bytes stay in the child's memory.

    Raises:
        ConfigError: the file names none.
    """
    request = data_request(plan, purpose)
    if request is None:
        wanting = next((row.name for row in plan.passes if row.wants_calibration), purpose)
        raise ConfigError(
            "no-calibration-data",
            f"pass {wanting!r} needs calibration data and none is given",
            where=f"{plan.config.path} [data] {purpose}",
            hint='name a folder of npz, npy or images, or "module:function"; random data is never used',
        )
    entry = stepper.run(
        StepRequest(
            name=f"{purpose}-data",
            task="dataset",
            parts={"data": _where_from(request), "signature": [spec.to_json() for spec in signature.inputs]},
            make=lambda folder: DatasetTask(request, signature, keep),
            discovers=True,
        )
    )
    result = entry.result
    for text in result["warnings"]:
        stepper.tell(StepNote(stepper.target, f"{purpose}-data", text))
    digest = str(result["digest"])
    return DataState(replace(request, digest=digest), digest, int(result["count"]), tuple(result["feeds"]))


def _where_from(request: DataRequest) -> dict[str, Any]:
    """What of a data request decides its samples; the project's own place does not."""
    parts: dict[str, Any] = request_json(request)
    del parts["root"], parts["digest"]
    return parts


def data_request(plan: BuildPlan, purpose: Purpose) -> DataRequest | None:
    data: DataTable = plan.config.data
    spec = data.calibration if purpose == "calibration" else data.evaluation
    if spec is None:
        return None
    limit = data.limit if purpose == "calibration" else None
    return DataRequest(spec, plan.config.root, purpose, data.preprocess, limit)


def ask_support(
    plan: BuildPlan, backend: PlannedBackend, model: ModelState, stepper: Stepper, *, threads: int
) -> Verdict:
    """The backend's static verdict on the model."""
    entry = stepper.run(
        StepRequest(
            name="supports",
            task="supports",
            parts=_engine_parts(backend, model),
            make=lambda folder: SupportTask(_backend_plug(backend), model.file(), threads),
        )
    )
    result = entry.result
    return Verdict(
        accelerator=str(result["accelerator"]),
        placements=tuple(result["placements"]),
        problems=tuple(Problem(**{**row, "nodes": tuple(row["nodes"])}) for row in result["problems"]),
        legalize=result["legalize"],
    )


def accept_or_legalize(
    plan: BuildPlan,
    backend: PlannedBackend,
    prepared: Prepared,
    stepper: Stepper,
    plugins: Plugins,
    *,
    threads: int,
) -> tuple[Prepared, Verdict]:
    """The backend's acceptance, after the one pass that it may ask for.

    Raises:
        ModelError: it refuses, and no pass cures that.
    """
    verdict = ask_support(plan, backend, prepared.model, stepper, threads=threads)
    if verdict.refusals and verdict.legalize:
        why = "; ".join(str(problem) for problem in verdict.refusals)
        cure = plan_pass(
            str(verdict.legalize["use"]), verdict.legalize["options"], plan.target, plugins, where=backend.name
        )
        stepper.tell(StepNote(stepper.target, cure.name, f"applied because {backend.name} asks for it: {why}"))
        if cure.wants_calibration and prepared.calibration is None:
            raise refusal(backend.name, verdict, plan)
        prepared = apply_pass(cure, prepared, stepper, threads=threads, why=why)
        verdict = ask_support(plan, backend, prepared.model, stepper, threads=threads)
    for problem in verdict.problems:
        if problem.severity == "warn":
            stepper.tell(Warned(stepper.target, str(problem) + (f"; {problem.fix}" if problem.fix else "")))
    if verdict.refusals:
        raise refusal(backend.name, verdict, plan)
    return prepared, verdict


def refusal(backend: str, verdict: Verdict, plan: BuildPlan) -> ModelError:
    shown = "; ".join(str(problem) for problem in verdict.refusals[:6])
    more = f"; and {len(verdict.refusals) - 6} more" if len(verdict.refusals) > 6 else ""
    fix = next((problem.fix for problem in verdict.refusals if problem.fix), None)
    return ModelError(
        "model-refused",
        f"{backend} cannot take this model: {shown}{more}",
        where=plan.source.text,
        hint=fix or f"edgetool check {plan.source.text} --target {plan.target.name}",
    )


def build_engine(
    plan: BuildPlan, backend: PlannedBackend, model: ModelState, stepper: Stepper, *, threads: int
) -> BuiltEngine:
    """The engine, from the cache or built now."""
    entry = stepper.run(
        StepRequest(
            name="build",
            task="build",
            parts=_engine_parts(backend, model),
            make=lambda folder: BuildTask(_backend_plug(backend), model.file(), folder, threads),
        )
    )
    result = entry.result
    return BuiltEngine(
        backend=backend,
        directory=entry.directory,
        entry=str(result["entry"]),
        precision=str(result["precision"]),
        signature=signature_from_json(result["signature"]),
        lowerings=tuple(result["lowerings"]),
        facts=result["facts"],
        digest=str(result["digest"]),
    )


def _samples(plan: BuildPlan) -> DataRequest | None:
    return data_request(plan, "calibration") or data_request(plan, "evaluation")


def _plug(row: Planned) -> Plug:
    return Plug(row.loader, dict(row.options))


def _backend_plug(backend: PlannedBackend) -> Plug:
    return Plug(backend.loader, dict(backend.options), backend.site)


def _engine_parts(backend: PlannedBackend, model: ModelState) -> dict[str, Any]:
    """What an engine depends on."""
    return {**backend_parts(backend), "input": model.digest, "signature": model.signature.to_json()}
