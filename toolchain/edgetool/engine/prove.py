"""What an engine is worth: compared with the reference and measured, as far as it runs here."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pydantic

from edgetool.engine.backend import BuiltEngine
from edgetool.engine.data import DataState, read_data
from edgetool.engine.events import StepFinished, Warned
from edgetool.engine.fingerprint import code_digest
from edgetool.engine.measurements import load_measurement, measurement_key, save_measurement
from edgetool.engine.outcome import BuildOptions, Candidate, Proof
from edgetool.engine.planned import BuildPlan
from edgetool.engine.prepare import ModelState
from edgetool.engine.requests import EngineFile
from edgetool.engine.stepper import Stepper, StepRequest
from edgetool.engine.trial import GoldenTask, MeasureTask, ValidateTask
from edgetool.validate.census import overlap
from edgetool.validate.comparison import Comparison


def read_evaluation(plan: BuildPlan, reference: ModelState, stepper: Stepper) -> DataState | None:
    """The user's own samples to judge by, if there are any."""
    if plan.config.data.evaluation is None:
        return None
    return read_data(plan, stepper, "evaluation", reference.signature)


def prove(
    plan: BuildPlan,
    candidate: Candidate,
    evaluation: DataState | None,
    stepper: Stepper,
    options: BuildOptions,
    *,
    threads: int,
) -> Proof:
    """Compare the engine with the reference and measure it, as far as it runs here."""
    engine, calibration = candidate.engine, candidate.prepared.calibration
    availability = engine.backend.availability
    assert availability is not None
    if evaluation and calibration and (warning := overlap(calibration.feeds, evaluation.feeds)):
        stepper.tell(Warned(plan.target.name, warning))
    if not availability.can_run:
        golden = stepper.run(_golden(plan, candidate, evaluation, threads=threads))
        stepper.tell(StepFinished(plan.target.name, "validate", 0.0, False, f"not run: {availability.why_not}"))
        why_not = availability.why_not or "the device is not here"
        return Proof(None, {}, golden.directory, None, evaluation, why_not=why_not, prove_by=availability.fix)
    key = _measurement_key(candidate, threads)
    before = time.time()
    entry = stepper.run(_validation(plan, candidate, evaluation, stepper, options, threads=threads))
    result = entry.result
    measurement = None if options.remeasure else load_measurement(stepper.cache, key)
    if result["measurement"] and entry.created >= before:
        measurement = save_measurement(stepper.cache, key, result["measurement"])
    comparison = pydantic.TypeAdapter(Comparison).validate_python(result["comparison"])
    untimed = f"ran on {result['emulator']}, whose time is not the device's" if result["emulator"] else None
    if measurement is None and comparison.status != "failed" and untimed is None:
        task = _measuring(plan, candidate, entry.directory, stepper, options, threads=threads)
        measurement = save_measurement(stepper.cache, key, stepper.call("measure", "measure", task))
    return Proof(comparison, result["evidence"], entry.directory, measurement, evaluation, untimed=untimed)


def measure_again(
    plan: BuildPlan, candidate: Candidate, proof: Proof, stepper: Stepper, options: BuildOptions, *, threads: int
) -> Proof:
    """The same proof with a latency that was measured just now, in place of the one before."""
    assert proof.golden is not None
    task = _measuring(plan, candidate, proof.golden, stepper, options, threads=threads)
    result = stepper.call("measure", "measure", task)
    return replace(proof, measurement=save_measurement(stepper.cache, _measurement_key(candidate, threads), result))


def _measurement_key(candidate: Candidate, threads: int) -> str:
    engine = candidate.engine
    return measurement_key(engine.digest, candidate.prepared.reference.digest, engine.backend, threads=threads)


def _validation(
    plan: BuildPlan,
    candidate: Candidate,
    evaluation: DataState | None,
    stepper: Stepper,
    options: BuildOptions,
    *,
    threads: int,
) -> StepRequest:
    engine, prepared = candidate.engine, candidate.prepared
    file = engine_file(plan, engine, threads=threads)
    builder = plan.target.builder
    return StepRequest(
        name="validate",
        task="validate",
        parts={
            "engine": engine.digest,
            "backend": {"use": engine.backend.name, "options": dict(engine.backend.options),
                        "code": code_digest(engine.backend.loader), "tools": dict(engine.backend.tools)},
            "signature": engine.signature.to_json(),
            "reference": prepared.reference.digest,
            "evaluation": evaluation.digest if evaluation else None,
            "metric": plan.config.data.metric,
            "budget": plan.target.budget.model_dump(exclude_none=True),
            "fixed_inputs": dict(prepared.fixed_inputs),
            "threads": threads,
        },
        make=lambda folder: ValidateTask(
            engine=file,
            reference=prepared.reference.file(),
            directory=folder,
            evaluation=evaluation.request if evaluation else None,
            metric=plan.config.data.metric,
            root=plan.config.root,
            budget=plan.target.budget.model_dump(exclude_none=True),
            log=stepper.log_path("engine"),
            seconds=builder.timeout,
            latency_time=options.latency_time,
            fixed_inputs=dict(prepared.fixed_inputs),
            python=builder.python,
            memory=builder.memory,
        ),
        discovers=True,
    )  # fmt: skip


def _golden(plan: BuildPlan, candidate: Candidate, evaluation: DataState | None, *, threads: int) -> StepRequest:
    """What the device will check itself with, where only the reference runs here."""
    engine, prepared = candidate.engine, candidate.prepared
    min_cosine = plan.target.budget.min_cosine
    return StepRequest(
        name="golden",
        task="golden",
        parts={
            "reference": prepared.reference.digest,
            "signature": engine.signature.to_json(),
            "precision": engine.precision,
            "evaluation": evaluation.digest if evaluation else None,
            "min_cosine": min_cosine,
            "fixed_inputs": dict(prepared.fixed_inputs),
        },
        make=lambda folder: GoldenTask(
            reference=prepared.reference.file(),
            signature=engine.signature,
            precision=engine.precision,
            directory=folder,
            threads=threads,
            evaluation=evaluation.request if evaluation else None,
            min_cosine=min_cosine,
            fixed_inputs=dict(prepared.fixed_inputs),
        ),
    )


def _measuring(
    plan: BuildPlan, candidate: Candidate, golden: Path, stepper: Stepper, options: BuildOptions, *, threads: int
) -> MeasureTask:
    builder = plan.target.builder
    return MeasureTask(
        engine=engine_file(plan, candidate.engine, threads=threads),
        reference=candidate.prepared.reference.file(),
        feeds=golden,
        log=stepper.log_path("engine"),
        seconds=builder.timeout,
        latency_time=options.latency_time,
        fixed_inputs=dict(candidate.prepared.fixed_inputs),
        python=builder.python,
        memory=builder.memory,
    )


def engine_file(plan: BuildPlan, engine: BuiltEngine, *, threads: int) -> EngineFile:
    return EngineFile(
        loader=engine.backend.loader,
        options=dict(engine.backend.options),
        backend=engine.backend.name,
        directory=engine.directory,
        entry=engine.entry,
        precision=engine.precision,
        signature=engine.signature,
        threads=threads,
        site=engine.backend.site,
        facts=dict(engine.facts),
    )
