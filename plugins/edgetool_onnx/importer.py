"""Imports ONNX files: checked, copied, named as declared, and proven at the ends of the declared ranges."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.artifact import JsonValue, Model
from edgetool.context import ImportContext
from edgetool.errors import ConfigError
from edgetool.importers.base import Importer, ImporterOptions, ImportRequest, ImportResult, Source

if TYPE_CHECKING:
    import onnx


class OnnxOptions(ImporterOptions):
    """`[model.onnx]`: there is nothing to set."""


class OnnxImporter(Importer[OnnxOptions]):
    """ONNX file -> Model. The source is read, never written; external data is copied beside the new file."""

    Options = OnnxOptions
    revision = 2

    @classmethod
    def tools(cls) -> tuple[str, ...]:
        return ("onnx",)

    def convert(self, source: Source, request: ImportRequest, workdir: Path, context: ImportContext) -> ImportResult:
        """Check, copy, apply the declarations and prove.

        Raises:
            ConfigError: the file is missing, or declarations do not fit it.
            ModelError: the file is unsound or unsafe, has a frozen dimension, or cannot move to the wanted opset.
        """
        from edgetool.graph.check import check_proto
        from edgetool.graph.ir_version import lower_ir_version
        from edgetool.graph.load import load
        from edgetool.graph.opset import convert_opset, opset_of
        from edgetool.graph.signature import complete_outputs, read_model, read_signature
        from edgetool.graph.weights import check_weights
        from edgetool_onnx.declared import check_dimensions, declare
        from edgetool_onnx.proof import misdeclared_outputs, prove

        path = _file(source)
        where = str(path)
        proto = load(path, weights=False)
        changed = declare(proto, request, where=where)
        changed |= complete_outputs(proto)
        check_dimensions(read_signature(proto, where=where), request)
        check_weights(proto, path.parent, where=where)
        source_opset = opset_of(proto)
        if request.opset not in (None, source_opset):
            proto, changed = convert_opset(proto, request.opset, where=where), True
        changed |= lower_ir_version(proto)
        copy = workdir / "model.onnx"
        _write(proto, path, copy, changed=changed)
        opset = opset_of(proto)
        del proto  # its weights may be large, and the proof needs room for its own
        check_proto(copy, where=where)
        model = read_model(copy, request.dims)
        proof = prove(model, context, where=where)
        if proof.unproven:
            context.note(f"not proven at other shapes: {proof.unproven}")
        corrected = misdeclared_outputs(model.signature, proof)
        if corrected:
            context.note(f"the file declares another shape than it computes for {', '.join(corrected)}: corrected")
            model = _with_open_outputs(model, corrected, request)
        facts: dict[str, JsonValue] = {"opset": opset, "source_opset": source_opset, **proof.to_json()}
        return ImportResult(model, {**facts, "corrected_outputs": list(corrected)})


def _file(source: Source) -> Path:
    if source.path is None:
        raise ConfigError(
            "model-not-found", f"{source.text} names no file", where=source.text, hint="name the .onnx file"
        )
    return source.path


def _write(proto: onnx.ModelProto, path: Path, copy: Path, *, changed: bool) -> None:
    """The very bytes of the source where possible; external data always ends up in one file beside the copy."""
    from edgetool.disk import written_aside
    from edgetool.graph.external_data import has_external_data
    from edgetool.graph.save import save

    if changed or has_external_data(proto):
        save(proto, copy, folder=path.parent)
        return
    with path.open("rb") as source, written_aside(copy) as target:
        shutil.copyfileobj(source, target, 1 << 20)


def _with_open_outputs(model: Model, names: tuple[str, ...], request: ImportRequest) -> Model:
    """The model with these outputs' shapes left open but for their ranks."""
    from edgetool.graph.load import load
    from edgetool.graph.save import save
    from edgetool.graph.signature import read_model

    proto = load(model.path, weights=False)
    for value in proto.graph.output:
        if value.name in names:
            rank = len(next(spec.shape for spec in model.signature.outputs if spec.name == value.name))
            value.type.tensor_type.shape.ClearField("dim")
            for _ in range(rank):
                value.type.tensor_type.shape.dim.add()
    save(proto, model.path, folder=model.path.parent)
    return read_model(model.path, request.dims)
