"""Writes an engine's files: a portable .onnx, or a .ort with the list of operators that it needs."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from edgetool.artifact import Engine, Facts, JsonValue, Lowering, Model
from edgetool.graph import files, load
from edgetool.graph.precision import declared_precision
from edgetool_onnxruntime.lowering import lower
from edgetool_onnxruntime.options import OnnxRuntimeOptions
from edgetool_onnxruntime.ort_format import write_ort
from edgetool_onnxruntime.runtime import load_runtime
from edgetool_onnxruntime.target_cpu import is_x86

ENTRY = "model.onnx"


def write_engine(model: Model, directory: Path, options: OnnxRuntimeOptions, *, facts: Facts) -> Engine:
    """Lower the model for ONNX Runtime and write it into `directory`.

    The graph is never shipped in its optimized form, which holds operators and memory layouts of one machine only:
    each device optimizes the engine anew when it opens it.
    """
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        lowered = Path(scratch) / ENTRY
        lowerings = _lowered(model.path, lowered, options, x86=is_x86(facts))
        typed = lowered if lowerings else model.path
        precision = declared_precision(load(typed, weights=False))
        if options.format == "ort":
            entry = write_ort(typed, directory, options, x86=is_x86(facts))
        else:
            entry = _copy(typed, directory)
    return Engine(
        backend="onnxruntime",
        directory=directory,
        entry=entry,
        precision=precision,
        signature=model.signature,
        lowerings=lowerings,
        facts=_facts(options, precision, lowerings),
    )


def _lowered(source: Path, destination: Path, options: OnnxRuntimeOptions, *, x86: bool) -> tuple[Lowering, ...]:
    if options.lower_int8 == "never":
        return ()
    return lower(source, destination, uint8_activations=x86, widen_on_load=options.format == "onnx")


def _copy(source: Path, directory: Path) -> str:
    """Copy the model as `model.onnx`; external data keep their names, which are written in it."""
    for part in files(source):
        name = ENTRY if part == source else part.relative_to(source.parent)
        destination = directory / name
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(part, destination)
    return ENTRY


def _facts(options: OnnxRuntimeOptions, precision: str, lowerings: tuple[Lowering, ...]) -> Facts:
    facts: dict[str, JsonValue] = {
        "runtime": "onnxruntime",
        "runtime_version": str(load_runtime().__version__),
        "format": options.format,
        "providers": {name: dict(options.provider_options.get(name, {})) for name in options.providers},
        **options.settings(threads=1).to_json(),
    }
    if precision == "int8":
        shifted = any(lowering.name == "int8-to-uint8" for lowering in lowerings)
        facts["activations"] = "uint8" if shifted else "as the model has them"
    return facts
