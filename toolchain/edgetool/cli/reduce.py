"""`edgetool reduce`: the smallest part of a model that a backend still fails on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgetool.cli.check import only_target
from edgetool.cli.options import File, Json, Quiet, Set, Target, flag, seconds_option
from edgetool.cli.output import Output
from edgetool.errors import ConfigError

if TYPE_CHECKING:
    from edgetool.reduce.reduction import Attempt, Reduction
    from edgetool.reduce.search import Mode

Found = Annotated[
    str | None,
    typer.Argument(metavar="MODEL", help="The model that fails; that of the targets file when left out."),
]
To = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="PATH", help="The .onnx file to write; MODEL.reduced.onnx when left out."),
]
How = Annotated[
    str,
    typer.Option("--mode", metavar="NAME", help="bisect, or linear: node by node, for failures that come and go."),
]
Check = Annotated[
    str | None,
    typer.Option("--check", metavar="COMMAND", help="Ask this instead of the backend; {} stands for the model."),
]
Time = Annotated[str, typer.Option("--time", metavar="TIME", help="How long to search; then the best so far is taken.")]
AsIs = Annotated[bool, flag("--as-is", help="Give MODEL to the backend as it is, without the target's passes.")]
AnyReason = Annotated[bool, flag("--any-reason", help="The error code has to stay the same, its reason need not.")]
Blank = Annotated[bool, flag("--fill-weights", help="Replace weights by constants where it still fails; names stay.")]


def reduce(
    source: Found = None,
    target: Target = None,
    output_path: To = None,
    mode: How = "bisect",
    check: Check = None,
    time: Time = "10min",
    as_is: AsIs = False,
    any_reason: AnyReason = False,
    fill_weights: Blank = False,
    file: File = None,
    overrides: Set = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find the smallest part of MODEL that fails like the whole.

    The target's passes are applied as in a build; then its backend is asked about ever smaller parts, in a process of
    its own: for its verdict, for an engine and, where engines run here, for one inference. Crashes count as failures.
    """
    from edgetool.cli.project import open_source, services
    from edgetool.engine.services import threads_for
    from edgetool.reduce.reduction import Wishes
    from edgetool.reduce.work import Work, planned

    output = Output(json, quiet)
    wishes = Wishes(_mode(mode), any_reason, seconds_option(time, "--time"), fill_weights)
    project = open_source(file, source, overrides=overrides or ())
    if target is None and check is None:
        target = only_target(list(project.config.targets))
    plan = planned(project.config, target, project.plugins, source=source, as_is=as_is, check=check)
    name = plan.source.path.name if plan.source.path else f"{plan.name}.onnx"
    destination = output_path or Path(name).with_suffix(".reduced.onnx")
    with services(output, project.plugins) as shared, shared.stepper(plan) as stepper:
        work = Work(plan, shared, stepper, threads=threads_for(plan.target), check=check)
        found = work.reduce(destination, wishes, tell=lambda attempt: output.talk(_progress(attempt)))
        files = work.write_report(found)
    output.result(
        {
            "model": str(destination),
            "files": [str(path) for path in files],
            "failure": found.failure.to_json(),
            "nodes": list(found.nodes),
            "calls": found.calls,
            "seconds": round(found.seconds, 3),
            "finished": found.finished,
            "confirmed": found.confirmed,
            "weights": {"filled": list(found.blanked), "original": list(found.kept)},
            "signature": found.model.signature.to_json(),
        },
        _text(found, files),
    )


def _mode(name: str) -> Mode:
    from edgetool.reduce.search import MODES

    for known in MODES:
        if name == known:
            return known
    raise ConfigError("wrong-quantity", f"{name!r} is no mode", where="--mode", hint=f"one of: {', '.join(MODES)}")


def _progress(attempt: Attempt) -> str:
    verdict = "fails alike" if attempt.fails else "does not"
    return f"  {attempt.calls:>4}  {attempt.nodes} node{'s'[: attempt.nodes != 1]}: {verdict}"


def _text(found: Reduction, files: list[Path]) -> str:
    before, after = found.nodes
    lines = [
        f"reduced {before} nodes to {after}, in {found.calls} calls and {found.seconds:.0f} s   {found.failure}",
        *(["time ran out: it may be possible to reduce it further (--time)"] if not found.finished else []),
        *(["a new process did not fail again: it depends on what was done before"] if not found.confirmed else []),
        f"wrote {', '.join(map(str, files))}   next: put them into a bug report",
    ]
    return "\n".join(lines)
