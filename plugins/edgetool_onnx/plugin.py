"""Registers the ONNX importer."""

from __future__ import annotations

from edgetool.plugin import ImporterInfo, hookimpl


@hookimpl
def edgetool_importers() -> list[ImporterInfo]:
    return [
        ImporterInfo(
            name="onnx",
            summary="ONNX files, with external data beside them, opset 9 or later",
            loader="edgetool_onnx.importer:OnnxImporter",
            suffixes=(".onnx",),
        )
    ]
