"""Options that several commands share, so that a name means the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

File = Annotated[
    Path, typer.Option("--file", "-f", metavar="PATH", help="The targets file.", show_default="targets.toml")
]
Json = Annotated[bool, typer.Option("--json", help="Print events as JSON lines on stdout; the last is the result.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only.")]

DEFAULT_FILE = Path("targets.toml")
