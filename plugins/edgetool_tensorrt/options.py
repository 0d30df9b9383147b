"""Options of the TensorRT backend: the table `[targets.NAME.tensorrt]`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgetool.backends import BackendOptions


class TensorRtOptions(BackendOptions):
    """What TensorRT is asked for. Precision is not among it: the typed ONNX decides that."""

    workspace: int | None = Field(
        default=None, ge=1, description="Scratch memory in MiB that a layer may use; TensorRT's own default if unset."
    )
    optimization_level: int | None = Field(
        default=None, ge=0, le=5, description="How long the builder searches, 0 to 5; TensorRT's own default if unset."
    )
    dla_core: int | None = Field(default=None, ge=0, description="Deep learning accelerator to build for.")
    gpu_fallback: bool = Field(
        default=True, description="With `dla_core`: nodes that the accelerator cannot run go to the GPU."
    )
    capabilities: list[int] = Field(
        default_factory=list,
        description="TensorRT-RTX: compute capabilities times ten that one engine serves; the target's `sm` if empty.",
    )
    timing_cache: bool = Field(
        default=True, description="Keep tactic timings on the device between builds; never shared between devices."
    )
    trtexec: str | None = Field(default=None, description="Path of trtexec on the device; searched for if unset.")
    device_folder: str = Field(
        default=".cache/edgetool", description="Where files are kept on the device, relative to the login's home."
    )
    stand_in: str | None = Field(
        default=None,
        description="What takes the place of TensorRT on the device, in tests: results then prove nothing for it.",
    )
    profiling: Literal["layer_names_only", "detailed", "none"] = Field(
        default="detailed", description="How much the engine tells of its layers; changes its bytes."
    )
