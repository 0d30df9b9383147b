"""Arguments and options that several commands share, so that a name means the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

DEFAULT_FILE = Path("targets.toml")


def flag(*names: str, help: str) -> Any:  # noqa: A002 - named and typed as in typer.Option
    """An option that takes no value; the help would call it `<bool>` otherwise."""
    return typer.Option(*names, metavar="", help=help)


File = Annotated[
    Path | None, typer.Option("--file", "-f", metavar="PATH", help="The targets file; targets.toml when left out.")
]
Json = Annotated[bool, flag("--json", help="Print events as JSON lines on stdout; the last is the result.")]
Quiet = Annotated[bool, flag("--quiet", "-q", help="Print results and errors only.")]
Source = Annotated[
    str | None,
    typer.Argument(metavar="SOURCE", help="Model file or module:function; that of the targets file when left out."),
]
Target = Annotated[str | None, typer.Option("--target", "-t", metavar="NAME", help="Target of the targets file.")]
Targets = Annotated[
    list[str] | None, typer.Option("--target", "-t", metavar="NAME", help="Target of the targets file; repeatable.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="KEY=VALUE", help="Override a key of the targets file, dotted; repeatable."),
]
Trust = Annotated[bool, flag("--trust-source", help="Allow unpickling of the source, which runs the code inside it.")]
Allow = Annotated[bool, flag("--allow-unverified", help="Exit 0 although something is unproven here.")]
LatencyTime = Annotated[
    str, typer.Option("--latency-time", metavar="TIME", help='How long a latency measurement may take, e.g. "5s".')
]


def seconds_option(text: str, name: str) -> float:
    """The value of an option that is a time. Raises ConfigError."""
    from edgetool.config.units import seconds
    from edgetool.errors import ConfigError

    try:
        return seconds(text)
    except ValueError as error:
        raise ConfigError("wrong-quantity", str(error), where=name) from error
