"""`edgetool blame`: which layers of a compressed network lost the accuracy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgetool.cli.options import File, Json, Quiet, Set, Source, Target, Trust, flag
from edgetool.cli.output import Output
from edgetool.errors import ConfigError

if TYPE_CHECKING:
    from edgetool.config.result import Config

Samples = Annotated[int, typer.Option("--samples", min=1, metavar="N", help="Take at most so many samples.")]
Top = Annotated[int, typer.Option("--top", min=1, metavar="N", help="How many layers to look at closely.")]
Plot = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE.html", help="Draw weights and activations of the worst layers.")
]
AllLayers = Annotated[bool, flag("--all", help="List every layer, not only the worst.")]


def blame(
    source: Source = None,
    target: Target = None,
    file: File = None,
    overrides: Set = None,
    samples: Samples = 16,
    top: Top = 8,
    plot: Plot = None,
    all_layers: AllLayers = False,
    trust_source: Trust = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Tell which layers of a compressed network lost the accuracy.

    The passes of TARGET are run; then the network runs beside its original on real samples, layer by layer.
    """
    from edgetool.blame.steps import Effort, blame_passes
    from edgetool.cli.check import only_target
    from edgetool.cli.project import open_project, services
    from edgetool.engine.plan import plan_preparation
    from edgetool.engine.prepare import apply_passes
    from edgetool.engine.services import threads_for

    output = Output(json, quiet)
    project = open_project(file, overrides=overrides or (), source=source)
    name = target or only_target(list(project.config.targets))
    planned = plan_preparation(project.config, name, project.plugins, source=source, trusted=trust_source)
    if not planned.passes:
        raise _nothing_to_blame(project.config, name)
    threads = threads_for(planned.target)
    with services(output, project.plugins) as shared, shared.stepper(planned) as stepper:
        prepared = apply_passes(planned, stepper, threads=threads)
        found = blame_passes(planned, prepared, stepper, Effort(samples, top, threads)).to_json()
    if plot is not None:
        from edgetool.blame.page import write_page

        write_page(plot, found, title=f"{planned.name} for {name}")
    text = _text(name, found, closely=top, shown=None if all_layers else top)
    output.result({"target": name, **found}, "\n".join(text))


def _nothing_to_blame(config: Config, name: str) -> ConfigError:
    return ConfigError(
        "nothing-to-blame",
        f"target {name!r} has no passes: nothing is compressed",
        where=f"{config.path} [targets.{name}]",
        hint="name a recipe: --set targets.NAME.recipe=RECIPE tries one without editing the file",
    )


def _text(target: str, found: Mapping[str, Any], *, closely: int, shown: int | None) -> Iterator[str]:
    from edgetool.plain_text import table

    layers = found["layers"]
    yield (
        f"{target}: {_decibel(found['outputs_db'])} of signal over error at the outputs, {len(layers)} layers,"
        f" {found['samples']} samples"
    )
    rows = [
        (
            row["layer"],
            row["op_type"],
            _decibel(row["output_db"]) if at < closely else "",  # the others had no run of their own
            _decibel(row["alone_db"]),
            _decibel(row["cumulative_db"]),
            row["cause"],
            row["fix"],
        )
        for at, row in enumerate(layers[:shown])
    ]
    yield table(rows, headers=("layer", "operator", "outputs", "alone", "here", "cause", "fix"))
    if shown is not None and len(layers) > shown:
        yield f"... and {len(layers) - shown} more; --all lists them"
    yield "outputs: with only this layer compressed; alone: what it adds itself; here: with all errors before it"


def _decibel(value: float | None) -> str:
    return "exact" if value is None else f"{value:.1f} dB"
