"""From the source to a model that is ready for its backend: the import, and the passes of the recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgetool.artifact import Facts
from edgetool.engine.conversion import ImportTask, PassTask
from edgetool.engine.data import DataState, data_request, read_data
from edgetool.engine.fingerprint import relative_name
from edgetool.engine.keys import plugin_parts
from edgetool.engine.planned import BuildPlan, Planned, PlannedPass
from edgetool.engine.requests import DataRequest, ModelFile, Plug, request_json
from edgetool.engine.stepper import Stepper, StepRequest
from edgetool.passes.base import Rescaled
from edgetool.signature import Signature, signature_from_json


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
        rescaled: tensors that passes scaled and renamed, in the order in which they did.
    """

    reference: ModelState
    model: ModelState
    passes: tuple[PassRecord, ...]
    source: Facts
    source_digest: str
    calibration: DataState | None
    fixed_inputs: Mapping[str, Any] = field(default_factory=dict)
    rescaled: tuple[Rescaled, ...] = ()


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
        rescaled=(*prepared.rescaled, *_rescaled(result)),
    )


def _rescaled(result: Mapping[str, Any]) -> Iterator[Rescaled]:
    for row in result.get("rescaled", ()):
        yield Rescaled(row["tensors"], tuple(row["factor"]))


def _sizes(model: ModelState) -> dict[str, Any] | None:
    return {name: model.need[name] for name in ("weights", "activations")} if model.need else None


def _samples(plan: BuildPlan) -> DataRequest | None:
    return data_request(plan, "calibration") or data_request(plan, "evaluation")


def _plug(row: Planned) -> Plug:
    return Plug(row.loader, dict(row.options))
