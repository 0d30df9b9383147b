"""`edgetool validate --isa-sweep` and `--emulate`: a bundle's engine on processors that are not here."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgetool.cli.options import flag
from edgetool.cli.output import Output
from edgetool.errors import BudgetError, EdgetoolError, UnprovenError

if TYPE_CHECKING:
    from edgetool.bundle.read import Bundle
    from edgetool.emulate.cells import Emulation
    from edgetool.emulate.judge import Cell
    from edgetool.engine.desk import EngineFile
    from edgetool.plugin.manager import Plugins
    from edgetool.report.document import Check, Report

IsaSweep = Annotated[bool, flag("--isa-sweep", help="Also without the processor's newer instruction sets, one by one.")]
Emulate = Annotated[
    list[str] | None,
    typer.Option(
        "--emulate", metavar="CPU", help="Also on this processor, emulated: denverton, cortex-a53; a,b for more."
    ),
]
SECONDS = 120.0
"""What one processor may take."""

_PREFIXES = ("emulation/", "isa/")


def emulation_of(sweep: bool, names: Sequence[str] | None) -> Emulation:
    """What the options ask for. Raises ConfigError."""
    from edgetool.emulate.cells import Emulation
    from edgetool.emulate.processors import named

    return Emulation(sweep, named(names or ()))


def with_emulation(
    report: Report, path: Path, emulation: Emulation | None, output: Output, *, seconds: float = SECONDS
) -> Report:
    """The report of a bundle with one check more for each processor, which may take so many seconds."""
    if not emulation:
        return report
    return replace(report, checks=(*report.checks, *_checks(path, emulation, output, seconds)))


def carried_over(report: Report, before: Report) -> Report:
    """A report of the same engine that was made later, with what `before` says of other processors."""
    kept = tuple(check for check in before.checks if check.id.startswith(_PREFIXES))
    return replace(report, checks=(*report.checks, *kept))


def emulation_error(report: Report) -> EdgetoolError | None:
    """Why a bundle that passed here does not pass everywhere."""
    checks = [check for check in report.checks if check.id.startswith(_PREFIXES)]
    for outcome, kind, code, what in (
        ("failed", BudgetError, "emulation-failed", "the engine does not hold"),
        ("unverified", UnprovenError, "emulation-unverified", "nothing is proven for the engine"),
    ):
        if found := [check for check in checks if check.outcome == outcome]:
            message = f"{what} {'; '.join(check.title for check in found)}"
            return kind(code, message, where=report.bundle, hint=found[0].fix)
    return None


def text_of(report: Report) -> str:
    """One row a processor."""
    from edgetool.cli.table import table

    checks = [check for check in report.checks if check.id.startswith(_PREFIXES)]
    rows = [(check.outcome, check.id, check.message) for check in checks]
    fixes = [f"  {check.id}: {check.fix}" for check in checks if check.fix and check.outcome != "passed"]
    return "\n".join([table(rows), *fixes])


def _checks(path: Path, emulation: Emulation, output: Output, seconds: float) -> list[Check]:
    from edgetool.cli.bundled import open_runnable
    from edgetool.emulate.cells import none_shown, planned, subject_of, this_machine
    from edgetool.emulate.judge import not_shown
    from edgetool.emulate.ways import NotShown
    from edgetool.engine.bundled import bundled_engine

    try:
        bundle, plugins = open_runnable(path)
        engine = bundled_engine(bundle, plugins, threads=1)
    except EdgetoolError as error:
        why = NotShown(error.message, error.hint)
        return [not_shown(cell, why) for cell in none_shown(emulation, why)]
    checks = []
    for cell in planned(emulation, subject_of(engine), this_machine()):
        output.talk(f"{path.name}: {cell.title} ...")
        checks.append(_check(cell, bundle, engine, plugins, seconds))
    return checks


def _check(cell: Cell, bundle: Bundle, engine: EngineFile, plugins: Plugins, seconds: float) -> Check:
    from edgetool.emulate.arm import run_cross
    from edgetool.emulate.interpreter import write_interpreter
    from edgetool.emulate.judge import not_shown, stopped
    from edgetool.emulate.ways import CrossTested, NotShown

    if isinstance(cell.way, NotShown):
        return not_shown(cell, cell.way)
    with tempfile.TemporaryDirectory(prefix="edgetool-emulate-") as name:
        folder = Path(name)
        if isinstance(cell.way, CrossTested):
            return run_cross(cell, cell.way, bundle, engine, folder, seconds=seconds)
        try:
            return _compared(cell, write_interpreter(folder, cell.way), bundle, engine, plugins, seconds)
        except EdgetoolError as error:
            return stopped(cell, error, precision=bundle.manifest.precision)


def _compared(cell: Cell, python: Path, bundle: Bundle, engine: EngineFile, plugins: Plugins, seconds: float) -> Check:
    import pydantic

    from edgetool.bundle.golden import read_min_cosine
    from edgetool.cli.bundled import run_task
    from edgetool.emulate.judge import judged
    from edgetool.engine.trial import SelfTestTask
    from edgetool.validate.difference import Difference

    golden = bundle.path / "io"
    result = run_task(
        "self-test",
        lambda log: SelfTestTask(engine, golden, log(cell.processor.name), seconds, python=str(python)),
        plugins,
        Output(quiet=True),
        name=bundle.manifest.target.name,
        seconds=seconds,
    )
    rows = pydantic.TypeAdapter(list[Difference]).validate_python(result["differences"])
    return judged(cell, rows, read_min_cosine(golden), precision=bundle.manifest.precision)
