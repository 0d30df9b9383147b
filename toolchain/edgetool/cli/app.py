"""Assembles the typer application from the command files, in the order in which they are used."""

from __future__ import annotations

import typer

from edgetool.cli.bench import bench
from edgetool.cli.build import build
from edgetool.cli.cache import cache
from edgetool.cli.check import check
from edgetool.cli.convert import compress, convert
from edgetool.cli.doctor import doctor
from edgetool.cli.explain import explain
from edgetool.cli.init import init
from edgetool.cli.inspect import inspect
from edgetool.cli.plugins import plugins
from edgetool.cli.targets import targets
from edgetool.cli.validate import validate
from edgetool.cli.verify import verify

app = typer.Typer(
    name="edgetool",
    help="From a trained network to a validated, compressed, hardware-specific engine in a firmware-ready bundle.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

app.command("init")(init)
app.command("doctor")(doctor)
app.add_typer(targets, name="targets")
app.command("inspect")(inspect)
app.command("check")(check)
app.command("convert")(convert)
app.command("compress")(compress)
app.command("build")(build)
app.command("validate")(validate)
app.command("bench")(bench)
app.command("verify")(verify)
app.command("plugins")(plugins)
app.add_typer(cache, name="cache")
app.command("explain")(explain)
