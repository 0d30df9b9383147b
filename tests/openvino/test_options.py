"""`[targets.NAME.openvino]`: what is accepted, and what is refused before anything runs."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest

from edgetool_openvino.device import Device
from edgetool_openvino.options import OpenVinoOptions


@pytest.mark.parametrize(
    ("text", "accelerator", "families"),
    [
        ("CPU", "CPU", ("CPU",)),
        ("GPU.1", "GPU", ("GPU",)),
        ("AUTO", "AUTO", ()),
        ("AUTO:GPU,CPU", "GPU", ("GPU", "CPU")),
        ("HETERO:FPGA,CPU", "FPGA", ("FPGA", "CPU")),
        ("HETERO:GPU.0,GPU.1,CPU", "GPU", ("GPU", "CPU")),
    ],
)
def test_device_strings(text: str, accelerator: str, families: tuple[str, ...]) -> None:
    device = Device.parse(text)
    assert str(device) == text
    assert device.accelerator == accelerator
    assert device.families == families


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"device": ""}, "no device"),
        ({"device": "CPU,GPU"}, "no device"),
        ({"device": "HETERO"}, "splits nothing"),
        ({"device": "HETERO:FPGA"}, "splits nothing"),
        ({"device": "HETERO:CPU,CPU"}, "twice"),
        ({"device": "AUTO:HETERO,CPU"}, "no device"),
        ({"device": "FGPA"}, "unknown device 'FGPA'"),
        ({"device": "CPU", "stand_in": "CPU"}, "needs no `stand_in`"),
        ({"device": "GPU", "stand_in": "NPU"}, "'CPU'"),
        ({"device": "HETERO:FPGA,CPU", "stand_in": "GPU_CPU"}, "'FPGA_CPU'"),
        ({"device": "AUTO", "artifact": "blob"}, "chooses its device at run time"),
        ({"device": "NPU"}, "half precision"),
        ({"device": "HETERO:FPGA,CPU", "inference_precision": "bf16"}, "not bf16"),
        ({"device": "MYRIAD", "plugin_name": "MYRIAD"}, "belong together"),
        ({"device": "HETERO:FPGA,CPU", "plugin_name": "OTHER", "plugin_library": "/x.so"}, "does not name it"),
        ({"device": "CPU", "plugin_name": "CPU", "plugin_library": "/x.so"}, "comes with OpenVINO"),
        ({"device": "X", "plugin_name": "X", "plugin_library": "x.so"}, "relative"),
        ({"device": "AUTO", "device_properties": {"A": 1}}, "need a device"),
        ({"device_properties": {"INFERENCE_PRECISION_HINT": "f16"}}, "use inference_precision"),
        ({"num_streams": 0}, "greater than or equal to 1"),
        ({"inference_precision": "fp16"}, "'f32', 'bf16' or 'f16'"),
    ],
)
def test_contradictions_are_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=complaint.replace(".", r"\.")):
        OpenVinoOptions(**options)


def test_precision_is_pinned_by_default() -> None:
    assert OpenVinoOptions().inference_precision == "f32"


@pytest.mark.parametrize(
    ("options", "used"),
    [
        ({"device": "HETERO:FPGA,CPU"}, "HETERO:FPGA,CPU"),
        ({"device": "HETERO:FPGA,CPU", "stand_in": "FPGA_CPU"}, "HETERO:FPGA_CPU,CPU"),
        ({"device": "HETERO:FPGA,CPU", "stand_in": "CPU"}, "CPU"),
        ({"device": "GPU.1", "stand_in": "CPU"}, "CPU"),
    ],
)
def test_a_stand_in_takes_the_accelerators_place(options: dict[str, Any], used: str) -> None:
    assert str(OpenVinoOptions(**options).used) == used


def test_options_survive_json() -> None:
    options = OpenVinoOptions(
        device="HETERO:FPGA,CPU",
        plugin_name="FPGA",
        plugin_library="/opt/plugin.so",
        device_properties={"arch_path": "/opt/a.arch", "folding": True, "n": 2, "x": 0.5},
    )
    assert OpenVinoOptions.model_validate(options.model_dump(mode="json")) == options
