"""The last step of a build: judge the budgets and put the bundle in its place."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import edgetool
from edgetool.artifact import Facts, JsonValue
from edgetool.backends.base import Availability
from edgetool.bundle.layout import MODEL_FOLDER
from edgetool.bundle.manifest import (
    DataRecord,
    FallbackRecord,
    LoweringRecord,
    Manifest,
    RuntimeRecord,
    SourceRecord,
    StepRecord,
    TargetRecord,
    compatibility_key,
)
from edgetool.bundle.write import Contents, portable_source, write_bundle
from edgetool.engine.assess import Attempt, node_counts, stand_in
from edgetool.engine.backend import BuiltEngine
from edgetool.engine.cache import Key
from edgetool.engine.data import DataState
from edgetool.engine.events import StepFinished
from edgetool.engine.origin import origin_of
from edgetool.engine.outcome import BuildOptions, Candidate, Proof
from edgetool.engine.planned import BuildPlan
from edgetool.engine.reference import reference_name
from edgetool.engine.selftest import selftest_of
from edgetool.engine.services import threads_for
from edgetool.engine.standing import Choice
from edgetool.engine.stepper import Stepper
from edgetool.host import read_host
from edgetool.validate.budgets import OF_THE_MOMENT


@dataclass(frozen=True, slots=True)
class Delivery:
    """A bundle in its place.

    Attributes:
        bundle: its folder.
        content_digest: of everything in it but the measurements.
        written: False when an equal bundle was there already.
    """

    bundle: Path
    content_digest: str
    written: bool


def deliver(
    attempt: Attempt, choice: Choice | None, keys: Sequence[Key], stepper: Stepper, options: BuildOptions
) -> Delivery:
    """Write the bundle, and say where it is. A bundle with equal content is left alone.

    Args:
        attempt: what is delivered.
        choice: how it was chosen, if there were others.
        keys: of the steps that led to it.
        stepper: hears about it.
        options: where to.

    Raises:
        ConfigError: something else is in the bundle's place.
        HostError: disk full, permission denied.
    """
    started = time.monotonic()
    plan = attempt.plan
    written = write_bundle(
        options.output / plan.bundle_name,
        Contents(
            manifest=_manifest(attempt),
            engine=attempt.candidate.engine.directory,
            golden=attempt.proof.golden,
            validation=_validation(attempt, choice),
            measurements=_measurements(attempt, choice),
            sources=selftest_of(attempt.candidate.engine, attempt.proof.golden),
            origin=origin_of(plan, choice, keys),
        ),
    )
    stepper.tell(StepFinished(plan.target.name, "bundle", time.monotonic() - started, not written.renewed))
    return Delivery(written.path, written.content_digest, written.renewed)


def _verdicts(attempt: Attempt, *, of_the_moment: bool) -> tuple[Mapping[str, JsonValue], ...]:
    """Those of the moment stand in measurements.json, the lasting ones everywhere else."""
    rows = attempt.assessment.verdicts
    return tuple(row.to_json() for row in rows if (row.name in OF_THE_MOMENT) == of_the_moment)


def _manifest(attempt: Attempt) -> Manifest:
    plan, candidate, proof = attempt.plan, attempt.candidate, attempt.proof
    engine, prepared, target = candidate.engine, candidate.prepared, plan.target
    model = plan.config.model
    preprocess = plan.config.data.preprocess
    availability = engine.backend.availability
    version = availability.version if availability else None
    return Manifest(
        name=plan.name,
        version=plan.version,
        created=None,
        target=TargetRecord(target.name, dict(target.facts), _compatibility(plan, engine, version)),
        runtime=RuntimeRecord(engine.backend.name, version, dict(engine.facts)),
        backend=StepRecord(engine.backend.name, dict(engine.backend.options), facts=_builder(availability)),
        entry=f"{MODEL_FOLDER}/{engine.entry}",
        precision=engine.precision,
        lowerings=tuple(
            LoweringRecord(str(row["name"]), str(row["summary"]), int(row["count"])) for row in engine.lowerings
        ),
        passes=tuple(StepRecord(row.name, dict(row.options), row.changed, dict(row.facts)) for row in prepared.passes),
        signature=engine.signature,
        preprocessing=preprocess.model_dump(mode="json") if preprocess else None,
        source=SourceRecord(
            text=portable_source(plan.source.text),
            sha256=prepared.source_digest,
            importer=plan.importer.name,
            facts=dict(prepared.source),
            license=model.license if model else None,
        ),
        calibration=_data(prepared.calibration),
        evaluation=_data(proof.evaluation),
        validation=_short(proof),
        verdicts=_verdicts(attempt, of_the_moment=False),
        tools=_tools(plan, candidate),
        stands_in_for=target.stands_in_for,
        fallback=tuple(FallbackRecord(row.backend, row.code, row.reason) for row in candidate.refused),
    )


def _compatibility(plan: BuildPlan, engine: BuiltEngine, version: str | None) -> str:
    """Of the product that loads the engine, where a backend builds for more than one."""
    product = str(engine.facts.get("product", engine.backend.name))
    return compatibility_key(product, version, _hardware(plan, engine))


def _hardware(plan: BuildPlan, engine: BuiltEngine) -> Facts:
    """What is known of the hardware: what its device said of itself outweighs what the target says of it."""
    known = {**plan.target.facts, **engine.backend.device}
    if "capabilities" in known:  # what the engine serves, and not only the one that the target names
        known.pop("sm", None)
    return known


def _builder(availability: Availability | None) -> Facts:
    """Where the engine was built, for a backend that has more than one place."""
    if availability is None or availability.builder is None:
        return {}
    return {"builder": availability.builder, "device": dict(availability.device)}


def _tools(plan: BuildPlan, candidate: Candidate) -> dict[str, str]:
    """Distribution to version, of everything that decided the engine's bytes."""
    found: dict[str, str] = {"edgetool": edgetool.__version__}
    for row in (plan.importer, *plan.passes, candidate.engine.backend):
        found |= row.tools
    return found


def _data(state: DataState | None) -> DataRecord | None:
    return DataRecord(state.count, state.digest) if state else None


def _short(proof: Proof) -> dict[str, JsonValue]:
    """The comparison in short, for the manifest."""
    comparison = proof.comparison
    if comparison is None:
        return {"status": "unverified", "why_not": proof.why_not}
    return {
        "status": comparison.status,
        "score": comparison.score.to_json() if comparison.score else None,
        "outputs": [row.to_json() for row in comparison.real.differences] if comparison.real else [],
    }


def _validation(attempt: Attempt, choice: Choice | None) -> Mapping[str, JsonValue]:
    plan, candidate, proof = attempt.plan, attempt.candidate, attempt.proof
    total, elsewhere = node_counts(candidate)
    return {
        "schema_version": 1,
        "target": plan.target.name,
        "reference": {"runtime": "onnxruntime", "model_sha256": candidate.prepared.reference.digest},
        "comparison": proof.comparison.to_json() if proof.comparison else None,
        "not_run": proof.why_not,
        "stand_in": stand_in(candidate),
        "stands_in_for": list(plan.target.stands_in_for),
        "placement": {
            "accelerator": candidate.verdict.accelerator,
            "nodes": total,
            "off_accelerator": [dict(row) for row in candidate.verdict.off_accelerator[:200]],
            "off_accelerator_nodes": elsewhere,
        },
        "fit": {
            "need": dict(candidate.prepared.model.need) if candidate.prepared.model.need else None,
            "rows": [row.to_json() for row in attempt.assessment.fits],
        },
        "warnings": [row.to_json() for row in candidate.verdict.problems if row.severity == "warn"],
        "execution": dict(proof.evidence),
        "verdicts": [dict(row) for row in _verdicts(attempt, of_the_moment=False)],
        "unproven": [row.to_json() for row in attempt.assessment.unproven],
        "candidate": choice.name if choice else None,
        "chosen_by": choice.by if choice else None,
        "candidates": [row.to_json() for row in choice.standings] if choice else None,
    }


def _measurements(attempt: Attempt, choice: Choice | None) -> Mapping[str, JsonValue]:
    """What belongs to this machine and this moment."""
    found = attempt.proof.measurement
    host, threads = read_host(), threads_for(attempt.plan.target)
    moment: JsonValue = [dict(row) for row in _verdicts(attempt, of_the_moment=True)]
    candidates: JsonValue = {name: row.to_json() for name, row in choice.moments.items()} if choice else None
    if found is None:
        why_not = attempt.proof.why_not or attempt.proof.untimed or "not measured"
        return {
            "schema_version": 1,
            "latency": None,
            "why_not": why_not,
            "verdicts": moment,
            "candidates": candidates,
        }
    at = datetime.datetime.fromtimestamp(found.measured_at, tz=datetime.UTC)
    return {
        "schema_version": 1,
        "latency": found.latency.to_json(),
        "peak_memory_bytes": found.peak_memory,
        "device": found.device,
        "conditions": dict(found.conditions),
        "measured_at": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "host": {"cpu": host.cpu, "arch": host.arch, "isa": list(host.isa), "threads": threads},
        "reference_runtime": reference_name(),
        "verdicts": moment,
        "candidates": candidates,
    }
