"""`edgetool diff`: what changed from one bundle to another."""

from __future__ import annotations

import enum
import json as json_module
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edgetool.cli.options import Json, Quiet
from edgetool.cli.output import Output

if TYPE_CHECKING:
    from edgetool.diff.rows import BundleDifference

_FAILED = 4


class FailOn(enum.StrEnum):
    """What `--fail-on` may name; a list of literals is beyond typer."""

    REGRESSION = "regression"
    SIGNATURE = "signature"
    ANY = "any"


OldBundle = Annotated[Path, typer.Argument(metavar="OLD", help="Folder NAME.edgebundle: the one that is replaced.")]
NewBundle = Annotated[Path, typer.Argument(metavar="NEW", help="Folder NAME.edgebundle: the one that replaces it.")]
Form = Annotated[
    Literal["text", "markdown", "json"],
    typer.Option("--output-format", metavar="FORMAT", help="text, markdown for a merge request, or json."),
]
Fail = Annotated[
    list[FailOn] | None,
    typer.Option(
        "--fail-on",
        metavar="WHAT",
        help="Exit 4 for a regression (anything worse), a signature (callers must change), or any change; repeatable.",
    ),
]


def diff(
    old: OldBundle,
    new: NewBundle,
    output_format: Form = "text",
    fail_on: Fail = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what changed from OLD to NEW, what got worse first.

    Both bundles are checked, and then compared by what they recorded: nothing is run.
    """
    from edgetool.diff.compare import compare_bundles

    output = Output(json, quiet)
    found = compare_bundles(old, new)
    output.result(found.to_json(), _text(found, output_format))
    if failed := list(dict.fromkeys(name for kind in fail_on or () for name in found.failures(kind.value))):
        output.talk(f"failed by --fail-on: {', '.join(failed)}")
        sys.exit(_FAILED)


def _text(found: BundleDifference, output_format: str) -> str:
    from edgetool.diff.markdown import difference_markdown
    from edgetool.diff.text import difference_text

    if output_format == "json":
        return json_module.dumps(found.to_json(), indent=2, ensure_ascii=False)
    return difference_markdown(found).rstrip() if output_format == "markdown" else difference_text(found)
