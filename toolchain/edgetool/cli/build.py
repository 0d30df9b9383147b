"""`edgetool build`: from a source to validated bundles."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgetool.cli.options import Allow, File, Json, LatencyTime, Quiet, Set, Source, Targets, Trust, flag
from edgetool.cli.output import Output

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from edgetool.cli.project import Project
    from edgetool.engine.batch import Outcome
    from edgetool.engine.events import BuildFinished
    from edgetool.engine.planned import BuildPlan, PlannedCandidate

_FAILED = 4

OutputDir = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder that bundles are written into.")]
DryRun = Annotated[bool, flag("--dry-run", help="Print the plan and stop.")]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, metavar="N", help="Targets to build side by side.")]
NoCache = Annotated[bool, flag("--no-cache", help="Neither use nor fill the cache.")]
Locked = Annotated[bool, flag("--locked", help="Exit 8 if anything differs from edgetool.lock.")]
UpdateLock = Annotated[bool, flag("--update-lock", help="Write what was used into edgetool.lock.")]
Remeasure = Annotated[bool, flag("--remeasure", help="Measure the latency again.")]


def build(
    source: Source = None,
    target: Targets = None,
    file: File = None,
    output: OutputDir = Path("dist"),
    overrides: Set = None,
    jobs: Jobs = 1,
    dry_run: DryRun = False,
    no_cache: NoCache = False,
    locked: Locked = False,
    update_lock: UpdateLock = False,
    remeasure: Remeasure = False,
    latency_time: LatencyTime = "0.5s",
    allow_unverified: Allow = False,
    trust_source: Trust = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Build, validate and bundle SOURCE for one or more targets."""
    from edgetool.cli.options import seconds_option
    from edgetool.cli.project import open_project, services
    from edgetool.engine.batch import build_all, exit_code_of
    from edgetool.engine.outcome import BuildOptions

    speaker = Output(json, quiet)
    options = BuildOptions(
        output=output,
        latency_time=seconds_option(latency_time, "--latency-time"),
        remeasure=remeasure,
        allow_unverified=allow_unverified,
        locked=locked,
        update_lock=update_lock,
    )
    project = open_project(file, overrides=overrides or (), source=source)
    plans = _plans(project, target, source, trusted=trust_source)
    if dry_run:
        speaker.result({"plans": [plan.to_json() for plan in plans]}, "\n\n".join(map(_plan_text, plans)))
        return
    with services(speaker, project.plugins, use_cache=not no_cache) as shared:
        outcomes = build_all(plans, shared, options, jobs=jobs)
    _report(outcomes, speaker)
    if code := exit_code_of(outcomes):
        sys.exit(code)


def _plans(project: Project, names: list[str] | None, source: str | None, *, trusted: bool) -> list[BuildPlan]:
    from edgetool.cli.check import only_target
    from edgetool.engine.plan import plan

    chosen = list(dict.fromkeys(names or [only_target(list(project.config.targets))]))
    return [plan(project.config, name, project.plugins, source=source, trusted=trusted) for name in chosen]


def _report(outcomes: Sequence[Outcome], speaker: Output) -> None:
    for outcome in outcomes:
        if outcome.error is not None:
            if not speaker.json:  # as an event it was told already
                speaker.error(outcome.error)
        elif outcome.finished is not None and not speaker.json:
            finished = outcome.finished
            speaker.result({}, "\n  ".join([finished.summary, *finished.remarks, f"next: {_next(finished)}"]))
    if speaker.json:
        speaker.result(
            {
                "targets": [
                    {
                        "target": outcome.target,
                        "exit_code": outcome.exit_code,
                        "bundle": outcome.finished.bundle if outcome.finished else None,
                        "content_digest": outcome.finished.content_digest if outcome.finished else None,
                        "error": outcome.error.code if outcome.error else None,
                    }
                    for outcome in outcomes
                ]
            },
            "",
        )


def _next(finished: BuildFinished) -> str:
    """What to do with a bundle that is sound, or where to look when it is not."""
    if finished.exit_code == _FAILED:
        return f"every value and its limit stand in {finished.bundle}/reports"
    return f"edgetool verify {finished.bundle}"


def _plan_text(plan: BuildPlan) -> str:
    lines = [
        f"{plan.target.name}: {plan.source.text} → {plan.bundle_name}",
        *_step_text("import", plan.importer.name, plan.importer.options),
        *(line for row in plan.passes for line in _step_text("pass", row.name, row.options)),
        *(line for row in plan.candidates for line in _candidate_text(row)),
        "  legalize  only if the backend refuses the model and names a pass that cures it",
    ]
    for index, row in enumerate(plan.backends):
        role = "build" if index == 0 else "fallback"
        if row.failure:
            lines.append(f"  {role:<8}  {row.name}: NOT AVAILABLE: {row.failure.message}")
        else:
            lines += _step_text(role, row.name, row.options)
    budget = plan.target.written.below(("budget",)).values
    lines += _step_text("validate", "budgets" if budget else "no budgets", budget)
    for name, exporter in plan.packages.exporters.items() if plan.packages else ():
        lines += _step_text("package", name, exporter.options.model_dump(mode="json"))
    return "\n".join(lines)


def _candidate_text(row: PlannedCandidate) -> Iterator[str]:
    """One of the recipes that the best is chosen from, each pass with its options."""
    if row.why_not is not None:
        yield f"  candidate {row.name}: left out: {row.why_not}"
        return
    yield f"  candidate {row.name}"
    for entry in row.passes:
        yield from _step_text("  pass", entry.name, entry.options)


def _step_text(role: str, name: str, options: Mapping[str, object]) -> Iterator[str]:
    """What a step does, then its options as targets.toml writes them, one a line."""
    from edgetool.config.write import toml_value

    yield f"  {role:<8}  {name}".rstrip()
    for key, value in options.items():
        if value not in (None, [], {}):
            yield f"  {'':<8}    {key} = {toml_value(value)}"
