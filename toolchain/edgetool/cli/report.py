"""`edgetool report`: what bundles know about themselves, for people and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgetool.cli.options import Json, Quiet
from edgetool.cli.output import Output
from edgetool.errors import ConfigError
from edgetool.nearest import one_of

if TYPE_CHECKING:
    from edgetool.report.document import Summary

OutputFormats = Annotated[
    list[str] | None,
    typer.Option(
        "--output-format",
        "-O",
        metavar="FORMAT",
        help="html, markdown, json, junit, sarif, github or gitlab; repeatable, with a folder as --output.",
    ),
]
To = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="PATH", help="File, or a folder if it has no ending; else stdout."),
]
BlameFile = Annotated[
    Path | None,
    typer.Option("--blame", metavar="FILE.json", help="Error by layer, as `edgetool blame --json` printed it."),
]


def report(
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE", help="Folders NAME.edgebundle.")],
    output_formats: OutputFormats = None,
    output_path: To = None,
    blame: BlameFile = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a report on bundles for people, CI systems and trackers.

    It says what the build found out; nothing is run again. The exit code is 0 whatever the verdict: `edgetool build`
    and `edgetool validate` are there to gate.
    """
    from dataclasses import replace

    from edgetool.blame.recorded import read_blame
    from edgetool.bundle.read import read_bundle
    from edgetool.report.collect import report_of
    from edgetool.report.document import Summary

    names = output_formats or [format_of(output_path)]
    check_formats(names, output_path)
    check_places(names, output_path)
    if blame is not None and len(bundles) > 1:
        raise ConfigError(
            "conflicting-options", "--blame belongs to one bundle, and several are named", where="--blame",
            hint="write the report of that bundle alone",
        )  # fmt: skip
    found = read_blame(blame) if blame is not None else None
    summary = Summary(tuple(replace(report_of(read_bundle(path)), blame=found) for path in bundles))
    write_reports(summary, names, output_path, Output(json, quiet))


def format_of(path: Path | None) -> str:
    """The format that a file's ending stands for, where no format is named; Markdown for everything else."""
    from edgetool.report.formats import FORMATS

    # The first of a format by its ending: `.json` is edgetool's own document, not that of GitLab.
    endings = {Path(row.file).suffix: name for name, row in reversed(list(FORMATS.items())) if name != "github"}
    return endings.get(path.suffix.lower(), "markdown") if path else "markdown"


def check_formats(names: Sequence[str], path: Path | None) -> None:
    """Before any work is done. Raises ConfigError for a format that nobody writes, and for several into one file."""
    from edgetool.report.formats import FORMATS

    for name in names:
        if name not in FORMATS:
            raise ConfigError(
                "unknown-report-format",
                f"there is no report format {name!r}",
                where="--output-format",
                hint=one_of(name, FORMATS, what="formats"),
            )
    if len(set(names)) > 1 and (path is None or (path.suffix and not path.is_dir())):
        raise ConfigError(
            "reports-need-folder",
            f"{len(set(names))} formats do not fit into {'stdout' if path is None else 'one file'}",
            where="--output",
            hint="name a folder: --output reports",
        )


def check_places(names: Sequence[str], path: Path | None) -> None:
    """Before any work is done. Makes the folder that reports go to. Raises HostError where nothing can be written."""
    from edgetool.disk import host_errors, private_folder

    for file in (_file(name, path) for name in names if path is not None):
        with host_errors(file):
            file.parent.mkdir(parents=True, exist_ok=True)
        with private_folder(file):
            pass


def _file(name: str, path: Path) -> Path:
    from edgetool.report.formats import FORMATS

    return path / FORMATS[name].file if path.is_dir() or not path.suffix else path


def write_reports(summary: Summary, names: Sequence[str], path: Path | None, output: Output) -> None:
    """To stdout, or into files that appear when they are whole. Raises HostError."""
    for name in dict.fromkeys(names):
        _write(summary, name, path, output)


def _write(summary: Summary, name: str, path: Path | None, output: Output) -> None:
    import sys

    from edgetool.disk import replace_file
    from edgetool.report.formats import FORMATS

    chosen = FORMATS[name]
    if path is None:
        if output.json:
            output.result(summary.to_json(), "")
        else:
            sys.stdout.write(chosen.render(summary))
        return
    text = chosen.render(summary)
    file = _file(name, path)
    replace_file(file, text.encode("utf-8", "backslashreplace"))
    if output.json:
        output.result({"outcome": summary.outcome, "written": str(file)}, "")
    output.talk(f"wrote {file}")
