"""The cache steps that a search adds to those of a build: the reference on the samples, and an engine on them."""

from __future__ import annotations

from edgetool.engine.cache import Entry
from edgetool.engine.data import DataState
from edgetool.engine.fingerprint import code_digest
from edgetool.engine.outcome import Candidate
from edgetool.engine.planned import BuildPlan
from edgetool.engine.prove import engine_file
from edgetool.engine.stepper import Stepper, StepRequest
from edgetool.search.split import Split
from edgetool.search.task import Expected, ExpectTask, TryTask


def expecting(candidate: Candidate, data: DataState, split: Split, *, threads: int) -> StepRequest:
    """What the reference makes of the samples: once for all engines that take them alike."""
    prepared, signature = candidate.prepared, candidate.engine.signature
    places = tuple(sorted(place for part in split.parts for place in part))
    return StepRequest(
        name="reference",
        task="expect",
        parts={
            "reference": prepared.reference.digest,
            "inputs": [spec.to_json() for spec in signature.inputs],
            "evaluation": data.digest,
            "places": list(places),
            "fixed_inputs": dict(prepared.fixed_inputs),
        },
        make=lambda folder: ExpectTask(
            reference=prepared.reference.file(),
            signature=signature,
            directory=folder,
            evaluation=data.request,
            places=places,
            threads=threads,
            fixed_inputs=dict(prepared.fixed_inputs),
        ),
    )


def expected_of(entry: Entry) -> Expected:
    """Where the outputs of an `expecting` step are."""
    return Expected(entry.directory, {int(place): header for place, header in entry.result["headers"].items()})


def trying(
    plan: BuildPlan,
    candidate: Candidate,
    expected: Expected,
    data: DataState,
    split: Split,
    stepper: Stepper,
    *,
    threads: int,
) -> StepRequest:
    """An engine on the samples, compared by groups of them."""
    engine, prepared, builder = candidate.engine, candidate.prepared, plan.target.builder
    file = engine_file(plan, engine, threads=threads)
    groups = {name: tuple(parts) for name, parts in split.groups.items()}
    return StepRequest(
        name="try",
        task="try",
        parts={
            "engine": engine.digest,
            "backend": {"use": engine.backend.name, "options": dict(engine.backend.options),
                        "code": code_digest(engine.backend.loader), "tools": dict(engine.backend.tools)},
            "signature": engine.signature.to_json(),
            "reference": prepared.reference.digest,
            "evaluation": data.digest,
            "parts": [list(part) for part in split.parts],
            "groups": {name: list(parts) for name, parts in groups.items()},
            "metric": plan.config.data.metric,
            "fixed_inputs": dict(prepared.fixed_inputs),
            "threads": threads,
        },
        make=lambda folder: TryTask(
            engine=file,
            reference=prepared.reference.file(),
            expected=expected,
            directory=folder,
            evaluation=data.request,
            parts=split.parts,
            groups=groups,
            metric=plan.config.data.metric,
            root=plan.config.root,
            log=stepper.log_path("engine"),
            seconds=builder.timeout,
            fixed_inputs=dict(prepared.fixed_inputs),
            python=builder.python,
            memory=builder.memory,
        ),
        discovers=True,
    )  # fmt: skip
