"""One target's build from its plan to its bundle: passes, engine or fallback, validation, verdicts, bundle."""

from __future__ import annotations

import time
from pathlib import Path

import pydantic

from edgetool.engine.deliver import deliver
from edgetool.engine.desk import EngineFile
from edgetool.engine.events import BuildFinished, BuildStarted, StepFinished, StepNote, Warned
from edgetool.engine.fingerprint import code_digest
from edgetool.engine.history import save_history
from edgetool.engine.lock import LOCK_NAME, read_lock, update_lock
from edgetool.engine.measurements import load_measurement, measurement_key, save_measurement
from edgetool.engine.outcome import BuildOptions, Candidate, Proof, Refused
from edgetool.engine.pipeline import (
    BuiltEngine,
    DataState,
    accept_or_legalize,
    apply_passes,
    build_engine,
    read_data,
)
from edgetool.engine.plan import BuildPlan, PlannedBackend
from edgetool.engine.services import Services, threads_for
from edgetool.engine.stepper import Stepper, StepRequest
from edgetool.engine.summary import finish
from edgetool.engine.trial import GoldenTask, MeasureTask, ValidateTask
from edgetool.errors import EdgetoolError
from edgetool.validate.census import overlap
from edgetool.validate.comparison import Comparison

FALLS_BACK = frozenset({3, 5, 10})
"""Exit codes of a primary backend after which the next one is tried: never after a failed validation or tampering."""


def build(plan: BuildPlan, services: Services, options: BuildOptions) -> BuildFinished:
    """Build, validate and bundle one target. The returned event carries the exit code: 0, 4 or 9.

    Raises:
        EdgetoolError: whatever ended it before there was a bundle.
    """
    started = time.monotonic()
    services.listener(BuildStarted(plan.target.name, plan.step_names))
    for mistake in plan.config.warnings:
        services.listener(Warned(plan.target.name, str(mistake)))
    threads = threads_for(plan.target)
    lock_path = plan.config.root / LOCK_NAME
    lock = read_lock(lock_path, plan.target.name) if options.locked else None
    with services.stepper(plan, lock=lock) as stepper:
        candidate = make_engine(plan, services, stepper, threads=threads)
        proof = prove(plan, candidate, stepper, options, threads=threads)
        delivery = deliver(plan, candidate, proof, stepper, options)
        save_history(services.cache, plan.target.name, stepper.history)
        if options.update_lock:
            update_lock(lock_path, plan.target.name, stepper.history)
    finished = finish(plan, candidate, proof, delivery, options, seconds=time.monotonic() - started)
    services.listener(finished)
    return finished


def make_engine(plan: BuildPlan, services: Services, stepper: Stepper, *, threads: int) -> Candidate:
    """Passes, then the first backend that gets to an engine.

    Raises:
        EdgetoolError: of the last backend, when none does.
    """
    prepared = apply_passes(plan, stepper, threads=threads)
    refused: tuple[Refused, ...] = ()
    for backend, is_last in _with_last(plan.backends):
        try:
            if backend.failure is not None:
                raise backend.failure
            _tell_of_site(plan, backend, stepper)
            ready, verdict = accept_or_legalize(plan, backend, prepared, stepper, services.plugins, threads=threads)
            engine = build_engine(plan, backend, ready.model, stepper, threads=threads)
            return Candidate(ready, verdict, engine, refused)
        except EdgetoolError as error:
            if is_last or error.exit_code not in FALLS_BACK:
                raise
            refused = (*refused, Refused(backend.name, error.code, str(error)))
            services.listener(Warned(plan.target.name, f"{backend.name} gave no engine, falling back: {error}"))
    raise AssertionError("a plan has at least one backend")


def _tell_of_site(plan: BuildPlan, backend: PlannedBackend, stepper: Stepper) -> None:
    """Which builder serves and why, and what is known to go wrong there."""
    availability = backend.availability
    if availability is None:
        return
    if availability.builder is not None:
        stepper.tell(StepNote(plan.target.name, "build", f"builder {availability.builder}: {availability.why_builder}"))
    for sentence in availability.known_issues:
        stepper.tell(Warned(plan.target.name, f"known issue: {sentence}"))


def prove(plan: BuildPlan, candidate: Candidate, stepper: Stepper, options: BuildOptions, *, threads: int) -> Proof:
    """Compare the engine with the reference and measure it, as far as it runs here."""
    engine = candidate.engine
    availability = engine.backend.availability
    assert availability is not None
    evaluation = None
    if plan.config.data.evaluation is not None:
        evaluation = read_data(plan, stepper, "evaluation", candidate.prepared.reference.signature)
        calibration = candidate.prepared.calibration
        if calibration and (warning := overlap(calibration.feeds, evaluation.feeds)):
            stepper.tell(Warned(plan.target.name, warning))
    if not availability.can_run:
        golden = stepper.run(_golden(plan, candidate, evaluation, threads=threads))
        stepper.tell(StepFinished(plan.target.name, "validate", 0.0, False, f"not run: {availability.why_not}"))
        why_not = availability.why_not or "the device is not here"
        return Proof(None, {}, golden.directory, None, evaluation, why_not=why_not, prove_by=availability.fix)
    key = measurement_key(
        engine.digest,
        candidate.prepared.reference.digest,
        dict(engine.backend.options),
        threads,
        dict(availability.device),
    )
    before = time.time()
    entry = stepper.run(_validation(plan, candidate, evaluation, stepper, options, threads=threads))
    result = entry.result
    measurement = None if options.remeasure else load_measurement(stepper.cache, key)
    if result["measurement"] and entry.created >= before:
        measurement = save_measurement(stepper.cache, key, result["measurement"])
    comparison = pydantic.TypeAdapter(Comparison).validate_python(result["comparison"])
    if measurement is None and comparison.status != "failed":
        task = _measuring(plan, candidate, entry.directory, stepper, options, threads=threads)
        measurement = save_measurement(stepper.cache, key, stepper.call("measure", "measure", task))
    return Proof(comparison, result["evidence"], entry.directory, measurement, evaluation)


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


def _with_last(backends: tuple[PlannedBackend, ...]) -> list[tuple[PlannedBackend, bool]]:
    return [(backend, backend is backends[-1]) for backend in backends]
