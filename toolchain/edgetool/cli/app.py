"""Assembles the typer application from the command files, in the order in which they are used."""

from __future__ import annotations

from inspect import cleandoc
from typing import Annotated

import typer

from edgetool.cli.archive import archive, unpack
from edgetool.cli.bench import bench
from edgetool.cli.blame import blame
from edgetool.cli.build import build
from edgetool.cli.cache import cache
from edgetool.cli.check import check
from edgetool.cli.conformance import conformance
from edgetool.cli.convert import compress, convert
from edgetool.cli.diff import diff
from edgetool.cli.doctor import doctor
from edgetool.cli.explain import explain
from edgetool.cli.init import init
from edgetool.cli.inspect import inspect
from edgetool.cli.options import flag
from edgetool.cli.package import package
from edgetool.cli.plugins import plugins
from edgetool.cli.reduce import reduce
from edgetool.cli.report import report
from edgetool.cli.reproduce import reproduce
from edgetool.cli.sign import sign
from edgetool.cli.targets import targets
from edgetool.cli.tune import tune
from edgetool.cli.validate import validate
from edgetool.cli.verify import verify

app = typer.Typer(
    name="edgetool",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def edgetool(version: Annotated[bool, flag("--version", help="Print the version and exit.")] = False) -> None:
    """From a trained network to a validated, compressed, hardware-specific engine in a firmware-ready bundle."""
    if version:
        from edgetool import __version__

        print(f"edgetool {__version__}")
        raise typer.Exit


_PROJECT, _MODELS, _BUNDLES, _ITSELF = "Project", "Models", "Bundles", "edgetool itself"

app.command("init", rich_help_panel=_PROJECT)(init)
app.command("doctor", rich_help_panel=_PROJECT)(doctor)
app.add_typer(targets, name="targets", rich_help_panel=_PROJECT)
app.command("inspect", rich_help_panel=_MODELS)(inspect)
app.command("check", rich_help_panel=_MODELS)(check)
app.command("convert", rich_help_panel=_MODELS)(convert)
app.command("compress", rich_help_panel=_MODELS)(compress)
app.command("build", rich_help_panel=_MODELS)(build)
app.command("blame", rich_help_panel=_MODELS)(blame)
app.command("tune", rich_help_panel=_MODELS)(tune)
app.command("reduce", rich_help_panel=_MODELS)(reduce)
app.command("validate", rich_help_panel=_BUNDLES)(validate)
app.command("bench", rich_help_panel=_BUNDLES)(bench)
app.command("report", rich_help_panel=_BUNDLES)(report)
app.command("sign", rich_help_panel=_BUNDLES)(sign)
app.command("verify", rich_help_panel=_BUNDLES)(verify)
app.command("diff", rich_help_panel=_BUNDLES)(diff)
app.command("reproduce", rich_help_panel=_BUNDLES)(reproduce)
app.command("package", rich_help_panel=_BUNDLES)(package)
app.command("archive", rich_help_panel=_BUNDLES)(archive)
app.command("unpack", rich_help_panel=_BUNDLES)(unpack)
app.command("conformance", rich_help_panel=_ITSELF)(conformance)
app.command("plugins", rich_help_panel=_ITSELF)(plugins)
app.add_typer(cache, name="cache", rich_help_panel=_ITSELF)
app.command("explain", rich_help_panel=_ITSELF)(explain)


def _flowing(text: str) -> str:
    """Paragraphs without the line breaks of the source, which a narrower terminal would show in the middle of lines."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in cleandoc(text).split("\n\n"))


for _command in app.registered_commands:
    _command.help = _flowing(_command.callback.__doc__ or "") if _command.callback else None
