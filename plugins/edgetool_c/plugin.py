"""Registers the C backend."""

from __future__ import annotations

from edgetool.plugin import BackendInfo, hookimpl


@hookimpl
def edgetool_backends() -> list[BackendInfo]:
    return [
        BackendInfo(
            name="c",
            summary="microcontrollers: plain C with static buffers, run on an emulated Cortex-M or here",
            loader="edgetool_c.backend:PlainC",
            requires=("emx_onnx_cgen",),
            extra="microcontroller",
        )
    ]
