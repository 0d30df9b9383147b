"""Registers the ONNX Runtime backend."""

from __future__ import annotations

from edgetool.plugin import BackendInfo, hookimpl


@hookimpl
def edgetool_backends() -> list[BackendInfo]:
    return [
        BackendInfo(
            name="onnxruntime",
            summary="portable .onnx, or .ort with its operator list for minimal firmware builds",
            loader="edgetool_onnxruntime.backend:OnnxRuntime",
            requires=("onnxruntime",),
            extra="onnxruntime",
        )
    ]
