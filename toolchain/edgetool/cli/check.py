"""`edgetool check`: a backend's static verdict, node by node, without building."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

from edgetool.cli.options import File, Json, Quiet, Set, Source, Target, Trust, flag
from edgetool.cli.output import Output
from edgetool.errors import ConfigError, EdgetoolError, ModelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgetool.artifact import JsonValue
    from edgetool.engine.backend import Verdict
    from edgetool.engine.planned import BuildPlan, PlannedCandidate

_SHOWN = 12

AllNodes = Annotated[bool, flag("--all", help="List every node, not only those that are refused or elsewhere.")]


def check(
    source: Source = None,
    target: Target = None,
    file: File = None,
    overrides: Set = None,
    all_nodes: AllNodes = False,
    trust_source: Trust = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say for each node where it would run, or why it cannot.

    The passes are run and the backend of TARGET is asked; nothing is built.
    """
    from edgetool.cli.project import open_project, services
    from edgetool.engine.backend import Verdict, ask_support, refusal
    from edgetool.engine.plan import plan
    from edgetool.engine.prepare import apply_recipe, import_source
    from edgetool.engine.services import threads_for

    output = Output(json, quiet)
    project = open_project(file, overrides=overrides or (), source=source)
    name = target or only_target(list(project.config.targets))
    planned = plan(project.config, name, project.plugins, source=source, trusted=trust_source)
    threads = threads_for(planned.target)
    with services(output, project.plugins) as shared, shared.stepper(planned) as stepper:
        imported = import_source(planned, stepper, threads=threads)
        backend = next(row for row in planned.backends if row.failure is None)

        def ask(way: BuildPlan) -> Verdict:
            prepared = apply_recipe(way, imported, stepper, threads=threads)
            return ask_support(backend, prepared.model, stepper, threads=threads)

        if planned.candidates:
            answers = {row.name: _answer(row, planned, ask) for row in planned.candidates}
        else:
            answers = {name: ask(planned)}
    skipped = [f"{name}: {row.name} is passed over: {row.failure.message}" for row in planned.backends if row.failure]
    texts = [
        _text(label, backend.name, answer, all_nodes=all_nodes) if isinstance(answer, Verdict) else f"{label}: {answer}"
        for label, answer in answers.items()
    ]
    rows = {label: _row(answer) for label, answer in answers.items()}
    accepted = any(row["accepted"] for row in rows.values())
    output.result(
        {
            "target": name,
            "backend": backend.name,
            **(
                {"accepted": accepted, "candidates": [{"name": label, **row} for label, row in rows.items()]}
                if planned.candidates
                else rows[name]
            ),
        },
        "\n".join([*skipped, *texts]),
    )
    verdicts = [answer for answer in answers.values() if isinstance(answer, Verdict)]
    if not verdicts:
        reasons = "; ".join(f"{label}: {answer}" for label, answer in answers.items())
        raise ModelError("no-candidate", f"no candidate gets as far as {backend.name}: {reasons}", where=name)
    if all(verdict.refusals and not verdict.legalize for verdict in verdicts):
        raise refusal(backend.name, verdicts[0], planned)


def _answer(candidate: PlannedCandidate, plan: BuildPlan, ask: Callable[[BuildPlan], Verdict]) -> Verdict | str:
    """The verdict on one candidate of `precision = "auto"`, or why there is none."""
    from edgetool.engine.fallback import FALLS_BACK

    if candidate.why_not is not None:
        return f"left out: {candidate.why_not}"
    try:
        return ask(plan.with_passes_of(candidate))
    except EdgetoolError as error:
        if error.exit_code not in FALLS_BACK:
            raise
        return str(error)


def _row(answer: Verdict | str) -> dict[str, JsonValue]:
    from edgetool.engine.backend import Verdict

    if not isinstance(answer, Verdict):
        return {"accepted": False, "why_not": answer}
    return {
        "accepted": not answer.refusals,
        "accelerator": answer.accelerator,
        "placements": [dict(row) for row in answer.placements],
        "problems": [problem.to_json() for problem in answer.problems],
        "legalize": dict(answer.legalize) if answer.legalize else None,
    }


def only_target(names: list[str]) -> str:
    """The target to take when the user named none: the only one there is."""
    if len(names) == 1:
        return names[0]
    if not names:
        raise ConfigError("no-target", "the targets file has no target that can be built", hint="add [targets.NAME]")
    raise ConfigError("no-target", "which target?", hint=f"--target NAME, one of: {', '.join(names)}")


def _text(target: str, backend: str, verdict: Verdict, *, all_nodes: bool) -> str:
    total = len(verdict.placements)
    placed = Counter(row["device"] or "nowhere" for row in verdict.placements)
    lines = [
        f"{target}: {total - len(verdict.off_accelerator)}/{total} nodes on {verdict.accelerator} ({backend})"
        + "".join(f", {count} on {device}" for device, count in placed.items() if device != verdict.accelerator)
    ]
    rows = verdict.placements if all_nodes else verdict.off_accelerator
    width = max((len(str(row["node"])) for row in rows), default=0)
    shown = rows if all_nodes else rows[:_SHOWN]
    lines += [
        f"  {row['node']:<{width}}  {row['op_type']:<20}  {row['device'] or 'nowhere'}  {row['reason'] or ''}".rstrip()
        for row in shown
    ]
    if len(rows) > len(shown):
        lines.append(f"  ... and {len(rows) - len(shown)} more; --all lists them")
    for problem in verdict.problems:
        lines.append(f"  {'refused' if problem.severity == 'refuse' else 'warning'}: {problem}")
        if problem.fix:
            lines.append(f"    fix: {problem.fix}")
    if verdict.legalize and verdict.refusals:
        lines.append(f"  `edgetool build` would apply {verdict.legalize['use']} {verdict.legalize['options']} first")
    return "\n".join(lines)
