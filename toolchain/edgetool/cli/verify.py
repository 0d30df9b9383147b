"""`edgetool verify`: every file of a bundle against its hash.

`edgetool.cli.entry` runs the verifier without loading the command line's library; what is declared here is for
`--help` and shell completion, and a test holds both to the same options.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from edgetool.cli.options import Json, Quiet


def verify(
    bundle: Annotated[list[Path], typer.Argument(metavar="BUNDLE", help="Folders NAME.edgebundle.")],
    digest: Annotated[
        str | None, typer.Option("--digest", metavar="SHA256", help="The content digest that is expected.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compare every file of a bundle with its hash.

    Needs nothing but Python's standard library, so a device can do it, too.
    """
    from edgetool.bundle.verify import main

    flags = [*(["--digest", digest] if digest else []), *(["--json"] if json else []), *(["--quiet"] if quiet else [])]
    sys.exit(main([*map(str, bundle), *flags]))
