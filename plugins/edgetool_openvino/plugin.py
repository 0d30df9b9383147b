"""Registers the OpenVINO backend."""

from __future__ import annotations

from edgetool.plugin import BackendInfo, hookimpl


@hookimpl
def edgetool_backends() -> list[BackendInfo]:
    return [
        BackendInfo(
            name="openvino",
            summary="Intel CPU, GPU, NPU, AUTO and HETERO:FPGA,CPU from one IR",
            loader="edgetool_openvino.backend:OpenVino",
            requires=("openvino",),
            extra="openvino",
        )
    ]
