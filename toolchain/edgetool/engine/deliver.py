"""The last step of a build: judge the budgets and put the bundle in its place."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping

import edgetool
from edgetool.artifact import Facts, JsonValue
from edgetool.backends.base import Availability
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
from edgetool.bundle.write import MODEL_FOLDER, Contents, portable_source, write_bundle
from edgetool.engine.events import StepFinished
from edgetool.engine.outcome import BuildOptions, Candidate, Proof
from edgetool.engine.pipeline import BuiltEngine, DataState
from edgetool.engine.plan import BuildPlan
from edgetool.engine.stepper import Stepper
from edgetool.engine.summary import Delivery, measured, node_counts, stand_in, unproven
from edgetool.host import read_host
from edgetool.validate.budgets import Verdict, judge

OF_THE_MOMENT = ("latency_p50", "latency_p90", "latency_p99", "min_speedup", "memory")
"""Budgets whose verdict depends on the machine and the moment: they stand in measurements.json only."""


def deliver(plan: BuildPlan, candidate: Candidate, proof: Proof, stepper: Stepper, options: BuildOptions) -> Delivery:
    """Judge, write the bundle, and say where it is. A bundle with equal content is left alone.

    Raises:
        ConfigError: something else is in the bundle's place.
        HostError: disk full, permission denied.
    """
    started = time.monotonic()
    engine = candidate.engine
    size = sum(path.stat().st_size for path in engine.directory.rglob("*") if path.is_file())
    verdicts = judge(plan.target.budget, measured(plan, candidate, proof, size=size))
    findings = (*(proof.comparison.findings if proof.comparison else ()), *unproven(plan, candidate, proof))
    written = write_bundle(
        options.output / plan.bundle_name,
        Contents(
            manifest=_manifest(plan, candidate, proof, _lasting(verdicts)),
            engine=engine.directory,
            golden=proof.golden,
            validation=_validation(plan, candidate, proof, _lasting(verdicts)),
            measurements=_measurements(proof, verdicts),
        ),
    )
    stepper.tell(StepFinished(plan.target.name, "bundle", time.monotonic() - started, not written.renewed))
    return Delivery(written.path, written.content_digest, size, verdicts, findings, written.renewed)


def _lasting(verdicts: tuple[Verdict, ...]) -> tuple[Verdict, ...]:
    return tuple(row for row in verdicts if row.name not in OF_THE_MOMENT)


def _manifest(plan: BuildPlan, candidate: Candidate, proof: Proof, verdicts: tuple[Verdict, ...]) -> Manifest:
    engine, prepared, target = candidate.engine, candidate.prepared, plan.target
    model = plan.config.model
    preprocess = plan.config.data.preprocess
    availability = engine.backend.availability
    version = availability.version if availability else None
    return Manifest(
        name=plan.name,
        version=plan.version,
        created=None,
        target=TargetRecord(
            target.name, dict(target.facts), compatibility_key(engine.backend.name, version, _hardware(plan, engine))
        ),
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
        verdicts=tuple(row.to_json() for row in verdicts),
        tools=_tools(plan, candidate),
        stands_in_for=target.stands_in_for,
        fallback=tuple(FallbackRecord(row.backend, row.code, row.reason) for row in candidate.refused),
    )


def _hardware(plan: BuildPlan, engine: BuiltEngine) -> Facts:
    """What is known of the hardware: what its device said of itself outweighs what the target says of it."""
    device = engine.backend.availability.device if engine.backend.availability else {}
    return {**plan.target.facts, **device}


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


def _validation(
    plan: BuildPlan, candidate: Candidate, proof: Proof, verdicts: tuple[Verdict, ...]
) -> Mapping[str, JsonValue]:
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
        "execution": dict(proof.evidence),
        "verdicts": [row.to_json() for row in verdicts],
        "unproven": [row.to_json() for row in unproven(plan, candidate, proof)],
    }


def _measurements(proof: Proof, verdicts: tuple[Verdict, ...]) -> Mapping[str, JsonValue]:
    """What belongs to this machine and this moment."""
    found = proof.measurement
    host = read_host()
    moment: list[JsonValue] = [row.to_json() for row in verdicts if row.name in OF_THE_MOMENT]
    if found is None:
        return {"schema_version": 1, "latency": None, "why_not": proof.why_not or "not measured", "verdicts": moment}
    at = datetime.datetime.fromtimestamp(found.measured_at, tz=datetime.UTC)
    return {
        "schema_version": 1,
        "latency": found.latency.to_json(),
        "peak_memory_bytes": found.peak_memory,
        "device": found.device,
        "conditions": dict(found.conditions),
        "measured_at": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "host": {"cpu": host.cpu, "arch": host.arch, "isa": list(host.isa), "threads": host.threads},
        "verdicts": moment,
    }
