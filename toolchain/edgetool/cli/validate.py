"""`edgetool validate`: bundles by their self-test, or every model on every target as a matrix."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgetool.cli.diagnosed import NoBlame, Reference
from edgetool.cli.emulated import Emulate, IsaSweep, emulated, emulation_error, table_of, text_of, wish_of
from edgetool.cli.options import Allow, Json, LatencyTime, Quiet, Set, Targets, flag
from edgetool.cli.output import Output
from edgetool.cli.report import OutputFormats, To
from edgetool.errors import ConfigError, EdgetoolError
from edgetool.plain_text import counted, table

if TYPE_CHECKING:
    from edgetool.emulate.cells import Wish
    from edgetool.report.document import Report, Summary

Bundles = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="BUNDLE",
        help="Folders NAME.edgebundle; without any, models are built and validated. FILE.toml is as --file FILE.toml.",
    ),
]
On = Annotated[
    str | None,
    typer.Option("--on", metavar="HOST", help="Run it on a device: NAME, USER@NAME or ssh://USER@NAME:PORT."),
]
Files = Annotated[
    list[Path] | None,
    typer.Option(
        "--file", "-f", metavar="PATH", help="Targets file, one a model; repeatable. targets.toml if left out."
    ),
]
BaselineFile = Annotated[
    Path | None,
    typer.Option("--baseline", metavar="FILE.json", help="What was accepted before: only what got worse fails."),
]
UpdateBaseline = Annotated[bool, flag("--update-baseline", help="Accept everything as it is now.")]
Keep = Annotated[
    Path | None,
    typer.Option("--keep", metavar="DIR", help="Keep the bundles in this folder; else they are thrown away."),
]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, metavar="N", help="Builds side by side.")]
Remeasure = Annotated[bool, flag("--remeasure", help="Measure the latency again.")]


def validate(
    bundles: Bundles = None,
    on: On = None,
    isa_sweep: IsaSweep = False,
    emulate: Emulate = None,
    file: Files = None,
    target: Targets = None,
    overrides: Set = None,
    output_formats: OutputFormats = None,
    output_path: To = None,
    reference: Reference = None,
    no_blame: NoBlame = False,
    baseline: BaselineFile = None,
    update_baseline: UpdateBaseline = False,
    keep: Keep = None,
    jobs: Jobs = 1,
    remeasure: Remeasure = False,
    latency_time: LatencyTime = "0.5s",
    allow_unverified: Allow = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run the self-test of bundles, or validate models on targets.

    With BUNDLE: the engine runs on the golden inputs, and its results are compared with the golden outputs. With --on
    it runs on a device that ssh reaches; where the bundle is a kit, the device builds the engine first.

    With --isa-sweep or --emulate, the golden inputs also run on processors that are not here: this one with newer
    instruction sets masked, or one that qemu emulates; in a matrix eight evaluation samples, too. That proves
    instructions and numerics, and nothing about time. What takes longer than 120 s is unverified: exit 9.

    Without: each model of the targets files is built for each target and validated, from the cache where nothing
    changed. One cell that fails leaves the others alone; run again after an interruption, it goes on where it was.

    Of a cell that lost its accuracy, the layers that lost it are named. With --reference, the model must compute the
    same as the network that is named, such as its last good export; where it does not, the node is named where that
    begins.
    """
    from edgetool.cli.matrix import Question, run_matrix
    from edgetool.cli.options import seconds_option
    from edgetool.cli.report import check_formats, check_places, format_of, write_reports
    from edgetool.engine.outcome import BuildOptions
    from edgetool.report.baseline import accepted, read_baseline, write_baseline

    output = Output(json, quiet)
    names = output_formats or ([format_of(output_path)] if output_path is not None else [])
    check_formats(names, output_path)
    check_places(names, output_path)
    emulation = wish_of(isa_sweep, emulate)
    # What a shell makes of examples/*/targets.toml: one name for --file, and the others without.
    file = [*(file or []), *(path for path in bundles or [] if path.suffix == ".toml")]
    bundles = [path for path in bundles or [] if path.suffix != ".toml"]
    if bundles:
        _refuse_matrix_options(
            file=file, target=target, baseline=baseline, keep=keep, update=update_baseline, reference=reference
        )
        _self_tests(bundles, on, names, output_path, output, emulation, allow_unverified=allow_unverified)
        return
    if on is not None:
        raise ConfigError(
            "bundle-missing", "--on runs a bundle on a device, and none is named", where="--on",
            hint="edgetool validate BUNDLE --on HOST; `host` in [targets.NAME.builder] makes builds use a device",
        )  # fmt: skip
    if update_baseline and baseline is None:
        raise ConfigError(
            "baseline-missing", "--update-baseline writes what --baseline names, and that is missing",
            where="--update-baseline", hint="name the file: --baseline baseline.json --update-baseline",
        )  # fmt: skip
    options = BuildOptions(
        output=Path(),
        latency_time=seconds_option(latency_time, "--latency-time"),
        remeasure=remeasure,
        allow_unverified=allow_unverified,
    )
    question = Question(
        tuple(file or [None]), tuple(target or ()), tuple(overrides or ()), jobs, keep, options, emulation,
        reference, not no_blame,
    )  # fmt: skip
    known = read_baseline(baseline) if baseline is not None and not update_baseline else None
    answer = run_matrix(question, output, baseline=known, where=str(baseline))
    summary = answer.summary
    if update_baseline and baseline is not None:
        write_baseline(baseline, summary)
        summary = accepted(summary)
        output.talk(f"wrote {baseline}: accepted as it is: {counted(len(answer.summary.reports), 'build')}")
    write_reports(summary, names, output_path, output)
    if not names or output_path is not None:  # a report on stdout stays alone there
        output.result(summary.to_json(), _text(summary, known="accepted" if update_baseline else "known"))
    if answer.exit_code and not update_baseline:
        sys.exit(answer.exit_code)


def _refuse_matrix_options(**given: object) -> None:
    named = [name for name, value in given.items() if value]
    if named:
        option = {"update": "--update-baseline"}.get(named[0], f"--{named[0]}")
        raise ConfigError(
            "conflicting-options",
            f"{option} belongs to the matrix, and a bundle is named",
            where=option,
            hint="leave the bundle out to build and validate the models of the targets file",
        )


def _self_tests(
    bundles: list[Path],
    on: str | None,
    names: list[str],
    path: Path | None,
    output: Output,
    wish: Wish,
    *,
    allow_unverified: bool,
) -> None:
    from edgetool.cli.report import write_reports
    from edgetool.cli.self_test import self_test
    from edgetool.errors import BudgetError, UnprovenError
    from edgetool.report.document import Summary

    if on is not None and wish:
        raise ConfigError(
            "conflicting-options", "--on runs the bundle on a device, and there is nothing to emulate", where="--on",
            hint="leave --isa-sweep and --emulate out, or --on",
        )  # fmt: skip
    if not names and len(bundles) == 1 and not wish and not allow_unverified:
        self_test(bundles[0], output, on=on)
        return
    alone = bool(names) and path is None  # a report on stdout
    said = Output(json=False, quiet=True) if alone else output
    reports, errors = [], []
    for bundle in bundles:
        report, error = _tested(bundle, on, said, silent=alone)
        wish.require_targets([report.target])
        report = emulated(report, bundle, wish, said)
        error = error or emulation_error(report)
        if wish and not alone:
            output.result({"checks": [check.to_json() for check in report.checks]}, text_of(report))
        reports.append(report)
        if error is not None:
            errors.append(error)
            if not alone:
                output.error(error)
    if names:
        write_reports(Summary(tuple(reports)), names, path, output)
    serious = [error for error in errors if not (allow_unverified and isinstance(error, UnprovenError))]
    if serious:
        gates = (BudgetError.exit_code, UnprovenError.exit_code)
        codes = [error.exit_code for error in serious]
        sys.exit(next((code for code in codes if code not in gates), min(codes)))


def _tested(bundle: Path, on: str | None, output: Output, *, silent: bool) -> tuple[Report, EdgetoolError | None]:
    """The bundle's report with the self-test as one more check."""
    import contextlib
    import io
    from dataclasses import replace

    from edgetool.bundle.read import read_bundle
    from edgetool.cli.self_test import self_test
    from edgetool.errors import BudgetError
    from edgetool.report.collect import report_of
    from edgetool.report.document import Check, Outcome

    report = report_of(read_bundle(bundle))
    failure: EdgetoolError | None = None
    try:
        # A report on stdout stays alone there.
        with contextlib.redirect_stdout(io.StringIO()) if silent else contextlib.nullcontext():
            self_test(bundle, output, on=on)
    except EdgetoolError as error:
        failure = error
    outcome: Outcome = "passed"
    if failure is not None:
        outcome = "failed" if isinstance(failure, BudgetError) else "unverified"
    place = f" on {on}" if on else " on this machine"
    message = failure.message if failure else f"the golden outputs agree{place}"
    check = Check("self-test", f"self-test{place}", outcome, message, failure.hint if failure else None)
    return replace(report, checks=(*report.checks, check)), failure


def _text(summary: Summary, *, known: str) -> str:
    """One row a cell, then what the baseline says, then how many of which; `known` is the word for what it knows."""
    from edgetool.config.units import format_bytes, format_seconds

    rows = [
        (
            known if report.outcome == "known" else report.outcome,
            f"{report.model} {report.version}",
            report.target,
            report.precision,
            format_bytes(report.size) if report.size is not None else "",
            format_seconds(report.latency.engine.p50) if report.latency else "",
            report.headline,
        )
        for report in summary.reports
    ]
    outcomes = [f"{sum(row[0] == word for row in rows)} {word}" for word in dict.fromkeys(row[0] for row in rows)]
    lines = [table(rows, headers=("", "model", "target", "precision", "size", "p50", "verdict")), *summary.baseline]
    lines += table_of(summary.reports)
    cures = [line for report in summary.reports for line in _cures(report)]
    return "\n".join([*lines, *cures, f"{counted(len(rows), 'build')}: {', '.join(outcomes)}"])


def _cures(report: Report) -> Iterator[str]:
    """What failed or is unproven and is not in the table, and what helps with what is."""
    for check in report.checks:
        if check.outcome not in ("failed", "unverified"):
            continue
        # The table's verdict is the first of them, and the baseline's lines say what it finds.
        told = report.headline.startswith(f"{check.title}: {check.message}") or check.id.startswith("baseline/")
        if check.fix or not told:
            yield f"{report.model}/{report.target}: {check.title}" + ("" if told else f": {check.message}")
        if check.fix:
            yield f"  what helps: {check.fix}"
