"""`edgetool validate`: the layers to blame where accuracy was lost, and with `--reference` a check of the export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgetool.cli.options import flag
from edgetool.errors import ConfigError, EdgetoolError, InterruptedByUserError

if TYPE_CHECKING:
    from edgetool.blame.findings import Blame
    from edgetool.blame.steps import Effort
    from edgetool.cli.project import Project
    from edgetool.engine.planned import BuildPlan
    from edgetool.engine.services import Services
    from edgetool.report.document import Check, Report

Reference = Annotated[
    str | None,
    typer.Option(
        "--reference", metavar="SOURCE", help="The network as it should be: the model must compute the same as this."
    ),
]
NoBlame = Annotated[bool, flag("--no-blame", help="Do not look for the layers where accuracy was lost.")]

SECONDS = 120.0
"""What a search may take: it explains a failure, and changes no verdict."""

_SAMPLES, _CLOSELY = 8, 4


def require_reference(reference: str, projects: Sequence[Project]) -> None:
    """Before anything is built. Raises ConfigError: there is no such network, or several models would have it."""
    from edgetool.engine.source import resolve_source

    if len(projects) > 1:
        raise ConfigError(
            "conflicting-options", f"{len(projects)} models cannot all be equal to one network", where="--reference",
            hint="name one targets file: --file PATH",
        )  # fmt: skip
    resolve_source(projects[0].config, reference, trusted=False)


def with_export_check(report: Report, project: Project, plan: BuildPlan, reference: str, shared: Services) -> Report:
    """The report with a check more: the imported network against the one that it should be equal to.

    Raises:
        ConfigError: there is no such network, it has other inputs or outputs, or there are no samples.
    """
    from edgetool.engine.data import data_request
    from edgetool.report.diagnosis import no_export_check

    found, name = None, Path(reference).name
    if any(data_request(plan, purpose) for purpose in ("evaluation", "calibration")):
        found, check = _export(project, plan, reference, shared)
    else:
        check = no_export_check("there are no samples to run them on", "declare [data] evaluation", against=name)
    return replace(report, checks=(check, *report.checks), blame=found)


def with_diagnosis(report: Report, plan: BuildPlan | None, shared: Services, *, search: bool) -> Report:
    """The report with cause, layers and cure at its failed checks of accuracy; itself where none failed."""
    from edgetool.report.diagnosis import diagnosed, needs_blame

    if plan is None or not search or not plan.passes or report.blame is not None or not needs_blame(report):
        return diagnosed(report, None)
    from edgetool.blame.steps import blame_passes
    from edgetool.engine.prepare import apply_passes

    effort = _effort(plan)
    try:
        with shared.stepper(plan, seconds=SECONDS) as stepper:
            prepared = apply_passes(plan, stepper, threads=effort.threads)
            return diagnosed(report, blame_passes(plan, prepared, stepper, effort))
    except InterruptedByUserError:
        raise
    except EdgetoolError as error:
        return diagnosed(report, None, why_not=error.message)


def _export(project: Project, plan: BuildPlan, reference: str, shared: Services) -> tuple[Blame | None, Check]:
    from edgetool.blame.steps import blame_export
    from edgetool.engine.plan import plan_preparation
    from edgetool.engine.prepare import import_model, import_source
    from edgetool.report.diagnosis import export_check, no_export_check

    config, name = project.config, Path(reference).name
    if config.model is not None and config.model.importer is not None:
        # It belongs to the model's own source; the reference may be of another kind.
        config = replace(config, model=config.model.model_copy(update={"importer": None}))
    trusted = plan_preparation(config, plan.target.name, project.plugins, source=reference)
    effort = _effort(plan)
    with shared.stepper(plan) as stepper:
        state, _ = import_model(trusted, stepper, threads=effort.threads)
        imported = import_source(plan, stepper, threads=effort.threads)
        try:
            found = blame_export(plan, state, imported, stepper, effort)
        except (ConfigError, InterruptedByUserError):
            raise
        except EdgetoolError as error:
            # One model that cannot be taken apart must not end the matrix.
            return None, no_export_check(f"they cannot be compared: {error.message}", error.hint, against=name)
    check = export_check(found, against=name)
    return (found if check.outcome == "failed" else None), check


def _effort(plan: BuildPlan) -> Effort:
    from edgetool.blame.steps import Effort
    from edgetool.engine.services import threads_for

    return Effort(_SAMPLES, _CLOSELY, threads_for(plan.target))
