"""Assembles the typer application from the command files."""

from __future__ import annotations

import typer

app = typer.Typer(
    name="edgetool",
    help="From a trained network to a validated, compressed, hardware-specific engine in a firmware-ready bundle.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
