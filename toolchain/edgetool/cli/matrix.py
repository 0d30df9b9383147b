"""`edgetool validate` without a bundle: every model on every target, judged by budgets and by a baseline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.cli.diagnosed import require_reference, with_diagnosis, with_export_check
from edgetool.cli.emulated import carried_over, with_emulation
from edgetool.cli.output import Output
from edgetool.cli.project import open_project, services
from edgetool.disk import scratch_folder
from edgetool.engine.batch import Outcome, build_all
from edgetool.engine.outcome import BuildOptions
from edgetool.errors import BudgetError, ConfigError, EdgetoolError, UnprovenError
from edgetool.report.baseline import Baseline, against, confirmed, slower_than_accepted
from edgetool.report.collect import report_of, report_of_error
from edgetool.report.document import Report, Summary

if TYPE_CHECKING:
    from edgetool.cli.project import Project
    from edgetool.emulate.cells import Wish
    from edgetool.engine.planned import BuildPlan
    from edgetool.engine.services import Services

_LONGER = 4
_AT_LEAST = 2.0  # seconds


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be validated.

    Attributes:
        files: targets files, a model each.
        targets: names; all of each file if empty.
        overrides: `--set`.
        jobs: builds side by side.
        keep: folder for the bundles; None throws them away.
        options: of every build.
        emulation: processors that every engine is tried on besides.
        reference: the network that the model should be equal to.
        blame: look for the layers where accuracy was lost.
    """

    files: tuple[Path | None, ...]
    targets: tuple[str, ...]
    overrides: tuple[str, ...]
    jobs: int
    keep: Path | None
    options: BuildOptions
    emulation: Wish
    reference: str | None = None
    blame: bool = True


@dataclass(frozen=True, slots=True)
class _Cell:
    """One model on one target: its plan, or why there is none."""

    project: Project
    target: str
    plan: BuildPlan | None
    error: EdgetoolError | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it.

    Attributes:
        summary: judged by the baseline, where there is one.
        exit_code: 0, 4, 9, or that of the first build that ended in an error.
    """

    summary: Summary
    exit_code: int


def run_matrix(question: Question, output: Output, *, baseline: Baseline | None, where: str) -> Answer:
    """Build and validate every cell. One that fails, or whose backend dies, leaves the others alone.

    Finished steps are in the cache: an interrupted run goes on where it was.

    Raises:
        ConfigError: a file has mistakes, or none of them has a target of these names.
    """
    projects = [open_project(file, overrides=question.overrides) for file in question.files]
    cells = [cell for project in projects for cell in _cells(project, question)]
    if not cells:
        names = ", ".join(question.targets)
        raise ConfigError(
            "unknown-target",
            f"no file has a target {names}",
            where=", ".join(str(project.config.path) for project in projects),
            hint="edgetool targets list",
        )
    question.emulation.require_targets([cell.target for cell in cells])
    if question.reference is not None:
        require_reference(question.reference, projects)
    several = len(projects) > 1
    with (
        services(output, projects[0].plugins, name_models=several) as shared,
        _folder(question.keep) as folder,
    ):
        options = replace(question.options, output=folder)
        reports = _built(cells, shared, options, question, jobs=question.jobs)
        reports = [
            with_emulation(row, folder / row.bundle, question.emulation, shared, plan=cell.plan) if row.bundle else row
            for cell, row in zip(cells, reports, strict=True)
        ]
        summary = Summary(tuple(reports))
        if baseline is not None:
            summary = _confirmed(cells, summary, baseline, shared, options, question, where=where)
        rows = zip(cells, summary.reports, strict=True)
        explained = tuple(with_diagnosis(row, cell.plan, shared, search=question.blame) for cell, row in rows)
        summary = replace(summary, reports=explained)
    return Answer(summary, _exit_code(cells, summary, allow_unverified=question.options.allow_unverified))


def _cells(project: Project, question: Question) -> Iterator[_Cell]:
    from edgetool.engine.plan import plan

    for name in project.config.targets:
        if question.targets and name not in question.targets:
            continue
        try:
            yield _Cell(project, name, plan(project.config, name, project.plugins), None)
        except EdgetoolError as error:
            yield _Cell(project, name, None, error)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        yield keep
        return
    with scratch_folder("edgetool-validate") as folder:
        yield folder


def _built(
    cells: Sequence[_Cell], shared: Services, options: BuildOptions, question: Question, *, jobs: int
) -> list[Report]:
    plans = [cell.plan for cell in cells if cell.plan is not None]
    outcomes = iter(build_all(plans, shared, options, jobs=jobs))
    reports = [_report(cell, next(outcomes) if cell.plan is not None else None) for cell in cells]
    if question.reference is None:
        return reports
    return [
        with_export_check(report, cell.project, cell.plan, question.reference, shared)
        if cell.plan is not None and report.error is None
        else report
        for cell, report in zip(cells, reports, strict=True)
    ]


def _report(cell: _Cell, outcome: Outcome | None) -> Report:
    from edgetool.bundle.read import read_bundle

    path = cell.project.config.path.absolute()
    file = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    error = cell.error or (outcome.error if outcome else None)
    if error is None and outcome is not None and outcome.finished is not None:
        return replace(report_of(read_bundle(Path(outcome.finished.bundle))), file=file.as_posix())
    assert error is not None
    model = cell.project.config.model
    name, version = (model.name, model.version) if model else ("model", "0.0.0")
    return replace(report_of_error(error, model=name, version=version, target=cell.target), file=file.as_posix())


def _confirmed(
    cells: Sequence[_Cell],
    summary: Summary,
    baseline: Baseline,
    shared: Services,
    options: BuildOptions,
    question: Question,
    *,
    where: str,
) -> Summary:
    """Judged by the baseline; what seems slower than accepted is measured once more, longer, and that decides."""
    judged = against(summary, baseline, where=where)
    slower = [at for at, report in enumerate(judged.reports) if slower_than_accepted(report)]
    if not slower:
        return judged
    longer = replace(options, remeasure=True, latency_time=max(_AT_LEAST, _LONGER * options.latency_time))
    again = dict(zip(slower, _built([cells[at] for at in slower], shared, longer, question, jobs=1), strict=True))
    reports = tuple(
        carried_over(again[at], report) if at in again else report for at, report in enumerate(summary.reports)
    )
    return confirmed(judged, against(Summary(reports), baseline, where=where), seconds=longer.latency_time)


def _exit_code(cells: Sequence[_Cell], summary: Summary, *, allow_unverified: bool) -> int:
    codes = []
    for cell, report in zip(cells, summary.reports, strict=True):
        if report.outcome == "failed":
            error = report.error or {}
            codes.append(int(str(error.get("exit_code", BudgetError.exit_code))))
        elif report.outcome == "unverified":
            allowed = allow_unverified or cell.project.config.targets[cell.target].unverified == "allow"
            codes.append(0 if allowed else UnprovenError.exit_code)
    errors = [code for code in codes if code not in (0, BudgetError.exit_code, UnprovenError.exit_code)]
    if errors:
        return errors[0]
    return BudgetError.exit_code if BudgetError.exit_code in codes else max(codes, default=0)
