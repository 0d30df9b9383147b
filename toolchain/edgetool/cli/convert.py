"""`edgetool convert` and `edgetool compress`: stop after the import, or after the passes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgetool.cli.check import only_target
from edgetool.cli.options import File, Json, Quiet, Set, Source, Target, Trust
from edgetool.cli.output import Output
from edgetool.errors import ConfigError

if TYPE_CHECKING:
    from edgetool.engine.prepare import ModelState, Prepared

To = Annotated[Path, typer.Option("--output", "-o", metavar="PATH", help="Where to write the .onnx file.")]


def convert(
    source: Source = None,
    output_path: To = Path("model.onnx"),
    file: File = None,
    target: Target = None,
    overrides: Set = None,
    trust_source: Trust = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Import SOURCE and write the proven ONNX model."""
    _run(source, output_path, file, target, overrides, Output(json, quiet), trusted=trust_source, compress=False)


def compress(
    source: Source = None,
    output_path: To = Path("model.onnx"),
    file: File = None,
    target: Target = None,
    overrides: Set = None,
    trust_source: Trust = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Import SOURCE, apply the recipe and write the typed ONNX model."""
    _run(source, output_path, file, target, overrides, Output(json, quiet), trusted=trust_source, compress=True)


def _run(
    source: str | None,
    destination: Path,
    file: Path | None,
    target: str | None,
    overrides: list[str] | None,
    output: Output,
    *,
    trusted: bool,
    compress: bool,
) -> None:
    from edgetool.cli.project import open_source, services
    from edgetool.engine.plan import plan_preparation
    from edgetool.engine.prepare import apply_passes, import_model
    from edgetool.engine.services import threads_for

    project = open_source(file, source, overrides=overrides or ())
    if compress and target is None:
        target = only_target(list(project.config.targets))
    plan = plan_preparation(project.config, target, project.plugins, source=source, trusted=trusted)
    if compress and plan.candidates:
        raise ConfigError(
            "no-one-recipe",
            f'target {plan.target.name!r} says precision = "auto": its recipe is known once its engines are measured',
            where=f"{project.config.path} [targets.{plan.target.name}] precision",
            hint=f"edgetool build --target {plan.target.name}, or "
            f"--set targets.{plan.target.name}.recipe=NAME to write what one recipe gives",
        )
    threads = threads_for(plan.target)
    with services(output, project.plugins) as shared, shared.stepper(plan) as stepper:
        prepared: Prepared | None = None
        model: ModelState
        if compress:
            prepared = apply_passes(plan, stepper, threads=threads)
            model = prepared.model
        else:
            model, _ = import_model(plan, stepper, threads=threads)
        written = _copy(model.path, destination)
    size = sum(path.stat().st_size for path in written)
    from edgetool.config.units import format_bytes

    passes = (
        [{"use": row.name, "changed": row.changed, "facts": dict(row.facts)} for row in prepared.passes]
        if prepared
        else []
    )
    output.result(
        {"model": str(destination), "files": [str(path) for path in written], "size": size,
         "signature": model.signature.to_json(), "passes": passes},
        f"wrote {destination}  {format_bytes(size)}  {_inputs(model)}   next: edgetool inspect {destination}",
    )  # fmt: skip


def _inputs(model: ModelState) -> str:
    return ", ".join(str(spec) for spec in model.signature.inputs)


def _copy(model: Path, destination: Path) -> list[Path]:
    """Copy the model with its external data, each file renamed into place when it is whole."""
    import shutil

    from edgetool.disk import host_errors, written_aside

    written = []
    with host_errors(destination):
        destination.parent.mkdir(parents=True, exist_ok=True)
        beside = sorted(path for path in model.parent.iterdir() if path.is_file() and path != model)
    for path, name in [*((path, path.name) for path in beside), (model, destination.name)]:
        target = destination.parent / name
        with path.open("rb") as source, written_aside(target) as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
        written.append(target)
    return written
