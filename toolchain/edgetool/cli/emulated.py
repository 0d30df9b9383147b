"""`edgetool validate --isa-sweep` and `--emulate`: a bundle's engine on processors that are not here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgetool.cli.options import flag
from edgetool.cli.output import Output
from edgetool.errors import BudgetError, EdgetoolError, UnprovenError

if TYPE_CHECKING:
    from edgetool.bundle.manifest import Manifest
    from edgetool.emulate.cells import Wish
    from edgetool.emulate.feeds import Samples
    from edgetool.engine.planned import BuildPlan
    from edgetool.engine.services import Services
    from edgetool.report.document import Check, Report

IsaSweep = Annotated[bool, flag("--isa-sweep", help="Also without the processor's newer instruction sets, one by one.")]
Emulate = Annotated[
    list[str] | None,
    typer.Option(
        "--emulate",
        metavar="[TARGET=]CPU",
        help="Also on this processor, emulated: denverton, cortex-a53; a,b for more; repeatable.",
    ),
]
SECONDS = 120.0
"""What one processor may take."""

_PATIENCE = 900.0
"""What a step may take before its process is taken for stuck: each keeps its own time, and is long done by then."""


def wish_of(sweep: bool, texts: Sequence[str] | None) -> Wish:
    """What the options ask for. Raises ConfigError."""
    from edgetool.emulate import cells

    return cells.wish_of(texts or (), sweep=sweep)


def with_emulation(
    report: Report, path: Path, wish: Wish, shared: Services, *, plan: BuildPlan | None = None, seconds: float = SECONDS
) -> Report:
    """The report of a bundle with one check more for each processor.

    Args:
        plan: of the build that made it: says where evaluation samples are, and without it golden inputs are all.
        seconds: what each processor may take.
    """
    if not wish.of(report.target):
        return report
    return replace(report, checks=(*report.checks, *_checks(report.target, path, wish, shared, plan, seconds)))


def emulated(report: Report, path: Path, wish: Wish, output: Output, *, seconds: float = SECONDS) -> Report:
    """As `with_emulation`, for a bundle whose project is not here."""
    from edgetool.cli.project import services
    from edgetool.plugin.manager import load_plugins

    with services(output, load_plugins()) as shared:
        return with_emulation(report, path, wish, shared, seconds=seconds)


def carried_over(report: Report, before: Report) -> Report:
    """A report of the same engine that was made later, with what `before` says of other processors."""
    kept = tuple(check for check in before.checks if check.is_elsewhere)
    return replace(report, checks=(*report.checks, *kept))


def emulation_error(report: Report) -> EdgetoolError | None:
    """Why a bundle that passed here does not pass everywhere."""
    checks = [check for check in report.checks if check.is_elsewhere]
    for outcome, kind, code, what in (
        ("failed", BudgetError, "emulation-failed", "the engine does not hold"),
        ("unverified", UnprovenError, "emulation-unverified", "nothing is proven for the engine"),
    ):
        if found := [check for check in checks if check.outcome == outcome]:
            message = f"{what} {'; '.join(check.title for check in found)}"
            return kind(code, message, where=report.bundle, hint=found[0].fix)
    return None


def text_of(report: Report) -> str:
    """One row a processor, then what helps where that is known."""
    from edgetool.plain_text import table

    checks = [check for check in report.checks if check.is_elsewhere]
    fixes = [f"  {check.id}: {check.fix}" for check in checks if check.fix and check.outcome != "passed"]
    return "\n".join([table([(check.outcome, check.id, check.message) for check in checks]), *fixes])


def table_of(reports: Sequence[Report]) -> list[str]:
    """For several builds: one row a processor that an engine was shown on, or not."""
    from edgetool.plain_text import table

    rows = [
        (check.outcome, report.model, report.target, check.title, check.message)
        for report in reports
        for check in report.checks
        if check.is_elsewhere
    ]
    return ["", table(rows)] if rows else []


def _checks(
    target: str, path: Path, wish: Wish, shared: Services, plan: BuildPlan | None, seconds: float
) -> list[Check]:
    from edgetool.cli.bundled import open_runnable
    from edgetool.emulate.cells import none_shown, planned, subject_of, this_machine
    from edgetool.emulate.judge import not_shown
    from edgetool.emulate.run import run_cells
    from edgetool.emulate.steps import Bundled
    from edgetool.emulate.ways import NotShown
    from edgetool.engine.bundled import bundled_engine
    from edgetool.engine.isolate import Limits
    from edgetool.engine.stepper import Stepper

    emulation = wish.of(target)
    try:
        bundle, plugins = open_runnable(path)
        engine = bundled_engine(bundle, plugins, threads=1)
    except EdgetoolError as error:
        why = NotShown(error.message, error.hint)
        return [not_shown(cell, why) for cell in none_shown(emulation, why)]
    samples = _samples(plan, bundle.manifest) if plan is not None else None
    bundled = Bundled(engine, (path / "io").absolute(), str(bundle.manifest.runtime.version), samples)
    with Stepper(
        target=plan.target.name if plan is not None else path.name.removesuffix(".edgebundle"),
        cache=shared.cache,
        children=shared.children,
        listener=shared.listener_of(plan) if plan is not None else shared.listener,
        limits=Limits(_PATIENCE),
        python=None,
        root=plan.config.root if plan is not None else Path.cwd(),
    ) as stepper:
        return list(
            run_cells(planned(emulation, subject_of(engine), this_machine()), bundled, stepper, seconds=seconds)
        )


def _samples(plan: BuildPlan, manifest: Manifest) -> Samples | None:
    from edgetool.emulate.feeds import Samples
    from edgetool.engine.data import data_request

    request = data_request(plan, "evaluation")
    if request is None:
        return None
    fixed = {name: value for row in manifest.passes for name, value in (row.facts.get("fixed_inputs") or {}).items()}
    return Samples(request, fixed)
