"""`[targets.NAME.openvino]`: every choice that OpenVINO leaves open, pinned and documented."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath
from typing import Literal, Self

import pydantic
from pydantic import Field

from edgetool.backends.base import BackendOptions
from edgetool_openvino.device import BUNDLED, Device

_PINNED = {
    "INFERENCE_PRECISION_HINT": "inference_precision",
    "EXECUTION_MODE_HINT": "inference_precision",
    "PERFORMANCE_HINT": "performance_hint",
    "NUM_STREAMS": "num_streams",
    "INFERENCE_NUM_THREADS": "threads, of the target itself",
    "ENABLE_CPU_PINNING": "pin_threads",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": "nothing: edgetool sets it",
    "PERF_COUNT": "nothing: edgetool measures by itself",
    "CACHE_DIR": "nothing: what the device caches is its own business",
}
"""Properties that have an option of their own, so that no two settings can contradict each other."""


class OpenVinoOptions(BackendOptions):
    """How OpenVINO compiles and executes the engine."""

    device: str = Field(
        default="CPU",
        description="`CPU`, `GPU`, `NPU`, `AUTO`, `AUTO:GPU,CPU`, `HETERO:FPGA,CPU`; the first is the accelerator.",
    )
    inference_precision: Literal["f32", "bf16", "f16"] = Field(
        default="f32",
        description="What float operations compute in. Always pinned: some CPUs would silently take bfloat16.",
    )
    performance_hint: Literal["latency", "throughput"] = Field(
        default="latency", description="One request as fast as possible, or as many requests as possible."
    )
    num_streams: int | None = Field(
        default=None, ge=1, description="Requests executed at once; unset: one for latency, the device's choice else."
    )
    pin_threads: bool = Field(
        default=False, description="Bind the CPU's inference threads to cores; wants a machine that does nothing else."
    )
    artifact: Literal["ir", "blob"] = Field(
        default="ir",
        description="`ir` fits every device, which compiles it on opening; `blob` is compiled now, for this device.",
    )
    compress_to_fp16: bool = Field(
        default=False, description="Store float weights in half precision: half the size, rounded weights."
    )
    stand_in: str | None = Field(
        default=None,
        description="Run here in place of the accelerator: `CPU`, or the CPU's plugin under a name such as `FPGA_CPU`, "
        "which keeps the split of HETERO. Proves nothing for the real device.",
    )
    plugin_name: str | None = Field(
        default=None, description="Name in `device` of a device whose plugin does not come with OpenVINO: `FPGA`."
    )
    plugin_library: str | None = Field(
        default=None, description="Absolute path of that plugin's library, on the machine that has the device."
    )
    device_properties: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="Further properties of the accelerator's plugin, passed on as they are."
    )

    @pydantic.field_validator("device")
    @classmethod
    def _known_form(cls, text: str) -> str:
        return str(Device.parse(text))

    @pydantic.field_validator("plugin_library")
    @classmethod
    def _absolute(cls, path: str | None) -> str | None:
        if path is not None and not (PurePosixPath(path).is_absolute() or PureWindowsPath(path).is_absolute()):
            raise ValueError(f"{path!r} is relative; name the library by its absolute path on the device")
        return path

    @pydantic.field_validator("device_properties")
    @classmethod
    def _not_pinned(cls, properties: dict[str, str | int | float | bool]) -> dict[str, str | int | float | bool]:
        for key in properties:
            if key in _PINNED:
                raise ValueError(f"{key} must not be set here: use {_PINNED[key]}")
        return properties

    @pydantic.model_validator(mode="after")
    def _plugin_is_whole(self) -> Self:
        known = (*BUNDLED, "FPGA", *([self.plugin_name] if self.plugin_name else []))
        if unknown := [name for name in self.wanted.families if name not in known]:
            raise ValueError(
                f"unknown device {unknown[0]!r}: neither {', '.join(BUNDLED)} nor the `plugin_name` of this target"
            )
        if (self.plugin_name is None) != (self.plugin_library is None):
            raise ValueError("`plugin_name` and `plugin_library` belong together")
        if self.plugin_name in BUNDLED:
            raise ValueError(f"the plugin of {self.plugin_name} comes with OpenVINO; leave `plugin_name` out")
        if self.plugin_name is not None and self.plugin_name not in self.wanted.families:
            raise ValueError(f"`plugin_name` is {self.plugin_name!r}, but `device` ({self.device}) does not name it")
        return self

    @pydantic.model_validator(mode="after")
    def _stand_in_fits(self) -> Self:
        if self.stand_in is None:
            return self
        if self.wanted.accelerator in ("CPU", "AUTO"):
            raise ValueError(f"device {self.device!r} runs on any CPU and needs no `stand_in`")
        if self.stand_in not in ("CPU", f"{self.wanted.accelerator}_CPU"):
            raise ValueError(
                f"`stand_in` can be 'CPU' (the whole engine on the CPU) or '{self.wanted.accelerator}_CPU' "
                f"(the CPU's plugin under that name), got {self.stand_in!r}"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _device_can(self) -> Self:
        if self.artifact == "blob" and self.wanted.mode == "AUTO":
            raise ValueError(f"{self.device} chooses its device at run time, so nothing can be compiled now; use 'ir'")
        if "NPU" in self.wanted.families and self.inference_precision != "f16":
            raise ValueError("the NPU computes in half precision: set inference_precision = 'f16'")
        if "FPGA" in self.wanted.families and self.inference_precision == "bf16":
            raise ValueError("the FPGA takes float32 and float16 networks, not bf16")
        if self.device_properties and self.wanted.accelerator == "AUTO":
            raise ValueError("`device_properties` need a device that they belong to; name one in `device`")
        return self

    @property
    def wanted(self) -> Device:
        """The device that the target really has."""
        return Device.parse(self.device)

    @property
    def used(self) -> Device:
        """The device that executes here: the wanted one, or the stand-in in its place."""
        if self.stand_in is None:
            return self.wanted
        if self.stand_in == "CPU":
            return Device(("CPU",))
        return self.wanted.substitute(self.wanted.accelerator, self.stand_in)
