"""`edgetool explain`: what an error code means and how to fix it."""

from __future__ import annotations

from typing import Annotated

import typer

from edgetool.cli.options import Json, Quiet
from edgetool.cli.output import Output


def explain(
    code: Annotated[
        str | None, typer.Argument(metavar="CODE", help="The word in `error[...]`; all codes are listed without.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Explain an error code: what it means, and how to fix it."""
    from edgetool import explain as pages

    output = Output(json, quiet)
    if code is not None:
        page = pages.explain(code)
        output.result(page.to_json(), f"{page.code}: {page.title}\n\n{page.text}")
        return
    from edgetool.plain_text import table

    found = pages.explanations().values()
    rows = [(page.code, str(page.exit_code), page.title) for page in found]
    output.result(
        {"explanations": [page.to_json() for page in found]}, table(rows, headers=("CODE", "EXIT", "MEANING"))
    )
