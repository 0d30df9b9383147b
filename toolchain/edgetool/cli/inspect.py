"""`edgetool inspect`: what is in a model, an engine or a bundle."""

from __future__ import annotations

from json import loads
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgetool.cli.options import Json, Quiet
from edgetool.cli.output import Output
from edgetool.errors import ConfigError
from edgetool.plain_text import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgetool.bundle.read import Bundle
    from edgetool.description import Description
    from edgetool.graph.inspection import Inspection
    from edgetool.graph.macs import Estimate


def inspect(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A model, an engine or a bundle.")],
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what is in a model, an engine or a bundle.

    Of a model: inputs and outputs, operators, parameters, multiply-accumulates, memory. Of an engine: what its header
    says, without the device. Of a bundle: its manifest. A file that is recognised but damaged ends with exit 7.
    """
    output = Output(json, quiet)
    if not path.exists():
        raise ConfigError("source-not-found", "there is no such file or bundle", where=str(path))
    if path.is_dir():
        _inspect_bundle(path, output)
    elif not _inspect_file(path, output):
        _inspect_model(path, output)


def _inspect_file(path: Path, output: Output) -> bool:
    """Show what a plugin says of the file, and raise what is wrong with it; False when no plugin knows such files."""
    from edgetool.plugin.describe import describe
    from edgetool.plugin.manager import load_plugins

    found = describe(path, load_plugins())
    if found is None:
        return False
    data = {"path": str(path), "kind": found.kind, **found.facts, "warnings": list(found.warnings)}
    output.result(data, _file_text(path, found))
    if found.problem:
        raise found.problem
    return True


def _file_text(path: Path, found: Description) -> str:
    from edgetool.config.units import format_bytes

    width = max((len(title) for title, _ in found.rows), default=0)
    lines = [
        f"{path}  {format_bytes(path.stat().st_size)}, {found.kind}",
        *(f"  {title:<{width}}  {value}" for title, value in found.rows),
        *(f"  warning: {sentence}" for sentence in found.warnings),
    ]
    return "\n".join(lines)


def _inspect_model(path: Path, output: Output) -> None:
    from edgetool import graph

    found = graph.inspect(path)
    output.result({"path": str(path), **found.to_json()}, _model_text(path, found))


def _model_text(path: Path, found: Inspection) -> str:
    from edgetool.config.units import format_bytes

    signature = found.signature
    lines = [
        f"{path}  {format_bytes(sum(found.files.values()))} in {len(found.files)} file{'s'[: len(found.files) != 1]}",
        f"  ONNX IR {found.ir_version}, opsets "
        + ", ".join(f"{domain} {version}" for domain, version in found.opsets.items()),
        f"  producer    {found.producer or 'not said'}",
        *(f"  input       {spec}" for spec in signature.inputs),
        *(f"  output      {spec}" for spec in signature.outputs),
        f"  nodes       {found.nodes}: " + ", ".join(f"{name} {count}" for name, count in found.operators.items()),
        f"  parameters  {found.parameters:,}: "
        + ", ".join(f"{name} {format_bytes(kind.nbytes)}" for name, kind in found.stored.items()),
        f"  MACs        {_estimate(found.macs, lambda value: f'{value:,}')}  at {_shapes(found)}",
        f"  memory      {_estimate(found.memory, format_bytes)}: weights {format_bytes(found.weight_bytes)},"
        f" activations at their peak {_estimate(found.activations, format_bytes)}",
        *(f"  metadata    {key} = {_short(value)}" for key, value in found.metadata.items()),
    ]
    return "\n".join(lines)


def _estimate(estimate: Estimate, text: Callable[[int], str]) -> str:
    """The value, said to be a lower bound where something is unknown."""
    if not estimate.unknown:
        return text(estimate.value)
    unknown = counted(len(estimate.unknown), "node")
    return f"at least {text(estimate.value)} ({unknown} unknown, e.g. {estimate.unknown[0]})"


def _shapes(found: Inspection) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in found.shapes.items()) or "no inputs"


def _short(value: str) -> str:
    line = value.replace("\n", "\\n")
    return line if len(line) <= 60 else f"{line[:57]}... ({len(value)} characters)"


def _inspect_bundle(path: Path, output: Output) -> None:
    from edgetool.bundle.manifest import manifest_bytes
    from edgetool.bundle.read import read_bundle

    bundle = read_bundle(path)
    output.result(
        {
            "path": str(path),
            "content_digest": bundle.content_digest,
            "manifest": loads(manifest_bytes(bundle.manifest)),
        },
        _bundle_text(bundle),
    )


def _bundle_text(bundle: Bundle) -> str:
    from edgetool.config.units import format_bytes

    manifest = bundle.manifest
    source = manifest.source
    size = sum(row.size for row in manifest.files)
    lines = [
        f"{bundle.path}  {format_bytes(size)} in {counted(len(manifest.files), 'file')}, all as recorded",
        f"  model       {manifest.name} {manifest.version}, licence {source.license or 'not said'}",
        f"  source      {source.text} (sha256 {source.sha256[:16]}), imported by {source.importer}",
        f"  target      {manifest.target.name}, {manifest.target.compatibility}",
        f"  runtime     {manifest.runtime.kind} {manifest.runtime.version or ''}".rstrip(),
        f"  precision   {manifest.precision}",
        *(f"  input       {spec}" for spec in manifest.signature.inputs),
        *(f"  output      {spec}" for spec in manifest.signature.outputs),
        *(f"  pass        {row.name}" + ("" if row.changed else " (nothing to do)") for row in manifest.passes),
        *(f"  lowering    {row.name} ({row.count}): {row.summary}" for row in manifest.lowerings),
        *(f"  fallback    {row.backend} gave no engine: {row.reason}" for row in manifest.fallback),
        f"  validation  {manifest.validation.get('status')}",
        *(f"  budget      {row.get('name')}: {row.get('status')}" for row in manifest.verdicts),
        f"  content     {bundle.content_digest}",
    ]
    return "\n".join(lines)
