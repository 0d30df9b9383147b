"""`edgetool tune`: the recipe that a target gains most from within its budgets."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edgetool.cli.options import Allow, File, Json, LatencyTime, Quiet, Set, Source, Target, Trust, flag
from edgetool.cli.output import Output

if TYPE_CHECKING:
    from edgetool.cli.project import Project
    from edgetool.search.tune import Tuned

Goal = Annotated[
    Literal["latency", "size", "memory"], typer.Option("--objective", help="What to make as small as possible.")
]
MaxDrop = Annotated[
    str | None,
    typer.Option("--max-drop", metavar="SHARE", help='Largest loss of the metric, "1%"; else the target\'s budget.'),
]
MinAgreement = Annotated[
    str | None,
    typer.Option("--min-agreement", metavar="SHARE", help="Smallest share of samples with the float network's top-1."),
]
MinCosine = Annotated[
    float | None,
    typer.Option("--min-cosine", min=-1, max=1, metavar="N", help="Smallest cosine to the float network's outputs."),
]
Time = Annotated[str, typer.Option("--time", metavar="TIME", help="When to end at the latest.")]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, metavar="N", help="Recipes to try side by side.")]
Samples = Annotated[
    int, typer.Option("--samples", min=2, metavar="N", help="Take at most so many evaluation samples, evenly spread.")
]
Plot = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE.html", help="Draw all recipes, and those that none beats.")
]
Write = Annotated[bool, flag("--write", help="Write the recipe into the targets file, and let the target use it.")]
Name = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="What to call the recipe; `tuned-TARGET` if left out.")
]


def tune(
    source: Source = None,
    target: Target = None,
    file: File = None,
    overrides: Set = None,
    objective: Goal = "latency",
    max_drop: MaxDrop = None,
    min_agreement: MinAgreement = None,
    min_cosine: MinCosine = None,
    time: Time = "10m",
    jobs: Jobs = 1,
    samples: Samples = 400,
    latency_time: LatencyTime = "1s",
    plot: Plot = None,
    write: Write = False,
    name: Name = None,
    allow_unverified: Allow = False,
    trust_source: Trust = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Search the recipe that TARGET gains most from within its budgets.

    Recipes are built, run on the evaluation samples and measured; what one loses is judged on samples that it was not
    chosen by.
    """
    from edgetool.cli.check import only_target
    from edgetool.cli.options import seconds_option
    from edgetool.cli.project import open_project, services
    from edgetool.engine.plan import plan
    from edgetool.search.tune import TuneOptions
    from edgetool.search.tune import tune as search

    output = Output(json, quiet)
    options = TuneOptions(
        objective=objective,
        max_drop=_share(max_drop, "--max-drop"),
        min_agreement=_share(min_agreement, "--min-agreement"),
        min_cosine=min_cosine,
        seconds=seconds_option(time, "--time"),
        jobs=jobs,
        samples=samples,
        latency_time=seconds_option(latency_time, "--latency-time"),
        allow_unverified=allow_unverified,
    )
    project = open_project(file, overrides=overrides or (), source=source)
    chosen = target or only_target(list(project.config.targets))
    planned = plan(project.config, chosen, project.plugins, source=source, trusted=trust_source)
    with services(output, project.plugins) as shared:
        tuned = search(planned, shared, options)
    recipe_name = name or f"tuned-{chosen}"
    written = False
    try:
        written = write and tuned.exit_code in (0, 9) and _written(tuned, project, recipe_name)
        if plot is not None:
            from edgetool.search.page import write_page

            write_page(plot, tuned, title=f"{planned.name} for {chosen}")
    finally:  # what a long search has found is said, also where a full disk keeps it from being written
        data = {**tuned.to_json(), "recipe": recipe_name, "written": written}
        output.result(data, "\n".join(_text(tuned, recipe_name, written=written)))
    if tuned.exit_code:
        sys.exit(tuned.exit_code)


def _share(text: str | None, name: str) -> float | None:
    """The value of an option that is a share. Raises ConfigError."""
    from edgetool.config.units import fraction
    from edgetool.errors import ConfigError

    if text is None:
        return None
    try:
        return fraction(text if text.strip().endswith("%") else float(text))
    except ValueError as error:
        raise ConfigError("wrong-quantity", str(error), where=name) from error


def _written(tuned: Tuned, project: Project, name: str) -> bool:
    from edgetool.config.edit import write_recipe

    assert tuned.pick.chosen is not None
    passes = tuned.pick.chosen.recipe.to_json()
    write_recipe(project.config.path, tuned.target, name, passes, remark=_remark(tuned))
    return True


def _remark(tuned: Tuned) -> str:
    judged = ", ".join(str(row) for row in tuned.pick.judged)
    return f"tune: {tuned.objective} of {tuned.target}; {judged}"


def _text(tuned: Tuned, name: str, *, written: bool) -> Iterator[str]:
    from edgetool.config.edit import recipe_text
    from edgetool.search.report import conclusion, lines

    yield from lines(tuned)
    yield ""
    yield from conclusion(tuned)
    chosen = tuned.pick.chosen
    if chosen is None or tuned.ended == "interrupted":
        return
    if written:
        yield f"written as [recipes.{name}]; next: edgetool build --target {tuned.target}"
        return
    yield ""
    yield recipe_text(name, chosen.recipe.to_json()).rstrip()
    yield ""
    yield f"--write puts it into the targets file, where [targets.{tuned.target}] then uses it"
