"""What a backend makes of a prepared model: its verdict, after the one pass that it may ask for, and the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetool.artifact import Facts
from edgetool.engine.conversion import BuildTask, SupportTask
from edgetool.engine.events import StepNote, Warned
from edgetool.engine.keys import backend_parts
from edgetool.engine.plan import plan_pass
from edgetool.engine.planned import BuildPlan, PlannedBackend
from edgetool.engine.prepare import ModelState, Prepared, apply_pass
from edgetool.engine.requests import Plug
from edgetool.engine.stepper import Stepper, StepRequest
from edgetool.errors import ModelError
from edgetool.plugin.manager import Plugins
from edgetool.problem import Problem
from edgetool.signature import Signature, signature_from_json


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


def ask_support(backend: PlannedBackend, model: ModelState, stepper: Stepper, *, threads: int) -> Verdict:
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
    verdict = ask_support(backend, prepared.model, stepper, threads=threads)
    if verdict.refusals and verdict.legalize:
        why = "; ".join(str(problem) for problem in verdict.refusals)
        cure = plan_pass(
            str(verdict.legalize["use"]), verdict.legalize["options"], plan.target, plugins, where=backend.name
        )
        stepper.tell(StepNote(stepper.target, cure.name, f"applied because {backend.name} asks for it: {why}"))
        if cure.wants_calibration and prepared.calibration is None:
            raise refusal(backend.name, verdict, plan)
        prepared = apply_pass(cure, prepared, stepper, threads=threads, why=why)
        verdict = ask_support(backend, prepared.model, stepper, threads=threads)
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


def build_engine(backend: PlannedBackend, model: ModelState, stepper: Stepper, *, threads: int) -> BuiltEngine:
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


def _backend_plug(backend: PlannedBackend) -> Plug:
    return Plug(backend.loader, dict(backend.options), backend.site)


def _engine_parts(backend: PlannedBackend, model: ModelState) -> dict[str, Any]:
    """What an engine depends on."""
    return {**backend_parts(backend), "input": model.digest, "signature": model.signature.to_json()}
