"""Registers the TensorRT backend."""

from __future__ import annotations

from edgetool.plugin import BackendInfo, FileInfo, hookimpl


@hookimpl
def edgetool_backends() -> list[BackendInfo]:
    return [
        BackendInfo(
            name="tensorrt",
            summary="NVIDIA: Jetson by ssh or by a kit, desktop GPUs by TensorRT-RTX without a GPU",
            loader="edgetool_tensorrt.backend:TensorRt",
            extra="tensorrt-rtx",
        )
    ]


@hookimpl
def edgetool_files() -> list[FileInfo]:
    return [
        FileInfo(
            name="tensorrt-engine",
            summary="TensorRT and TensorRT-RTX engines",
            loader="edgetool_tensorrt.plan_description:describe",
            suffixes=(".engine", ".plan", ".trt"),
        )
    ]
