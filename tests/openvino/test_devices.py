"""Devices that are not here, stand-ins for them, and properties that are wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgetool.artifact import Engine
from edgetool.context import BuildContext
from edgetool.errors import ConfigError, DeviceError, EdgetoolError, IntegrityError
from edgetool.testing import feeds_for, tiny_mlp
from edgetool_openvino.backend import OpenVino
from edgetool_openvino.options import OpenVinoOptions
from edgetool_openvino.refusal import device_error
from edgetool_openvino.runtime import load_runtime
from edgetool_openvino.session import compile_model, device_properties, new_core

Build = Callable[..., Engine]

FPGA = {"device": "HETERO:FPGA,CPU", "plugin_name": "FPGA", "plugin_library": "/nowhere/libcoreDlaRuntimePlugin.so"}


def _here(name: str) -> bool:
    return any(device.startswith(name) for device in load_runtime().Core().available_devices)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"device": "GPU"}, "GPU"),
        ({"device": "NPU", "inference_precision": "f16"}, "NPU"),
        ({"device": "HETERO:FPGA,CPU"}, "no plugin for FPGA"),
        (FPGA, "/nowhere/"),
    ],
)
def test_an_absent_device_is_built_for_and_not_run(options: dict[str, Any], says: str) -> None:
    if _here(says):
        pytest.skip(f"this machine has a {says}")
    found = OpenVino(OpenVino.Options(**options)).probe()
    assert found.can_build, "the IR fits every device"
    assert not found.can_run
    assert says in str(found.why_not)
    assert "stand_in" in str(found.fix)
    assert not OpenVino(OpenVino.Options(**options, artifact="blob")).probe().can_build


@pytest.mark.parametrize("options", [{"device": "GPU"}, {"device": "HETERO:FPGA,CPU"}, FPGA])
def test_opening_for_an_absent_device_is_exit_6(
    options: dict[str, Any], build: Build, tmp_path: Path, context: BuildContext
) -> None:
    if options["device"] == "GPU" and _here("GPU"):
        pytest.skip("this machine has a GPU")
    engine = build(tiny_mlp(tmp_path), **options)
    assert engine.facts["device"] == options["device"]
    with pytest.raises(DeviceError) as caught:
        OpenVino(OpenVino.Options(**options)).open(engine, context)
    assert caught.value.code == "device-unreachable"
    assert caught.value.exit_code == 6
    assert caught.value.hint


def test_a_stand_in_is_named_wherever_it_matters(build: Build, tmp_path: Path, context: BuildContext) -> None:
    model = tiny_mlp(tmp_path)
    backend = OpenVino(OpenVino.Options(device="GPU", stand_in="CPU"))
    assert backend.probe().stand_in == "CPU"
    engine = build(model, device="GPU", stand_in="CPU")
    assert engine.facts["stand_in"] == "CPU"
    support = backend.supports(model, context)
    assert support.accelerator == "GPU"
    assert "stands in" in support.problems[0].reason
    with backend.open(engine, context) as runner:
        assert runner.infer(feeds_for(model.signature))


def test_properties_of_the_real_device_never_reach_its_stand_in() -> None:
    options = OpenVinoOptions(device="HETERO:FPGA,CPU", stand_in="FPGA_CPU", device_properties={"arch_path": "/a.arch"})
    properties = device_properties(options, "FPGA_CPU", threads=1)
    assert "arch_path" not in properties
    assert properties["INFERENCE_PRECISION_HINT"] == "f32"
    real = options.model_copy(update={"stand_in": None})
    assert device_properties(real, "FPGA", threads=1) == {"arch_path": "/a.arch"}


@pytest.mark.parametrize(
    ("properties", "key"),
    [({"FOO": 1}, "FOO"), ({"CPU_DENORMALS_OPTIMIZATION": "perhaps"}, "CPU_DENORMALS_OPTIMIZATION")],
)
def test_wrong_properties_are_configuration_errors(
    properties: dict[str, Any], key: str, build: Build, tmp_path: Path, context: BuildContext
) -> None:
    engine = build(tiny_mlp(tmp_path))
    with pytest.raises(ConfigError) as caught:
        OpenVino(OpenVino.Options(device_properties=properties)).open(engine, context)
    assert caught.value.code == "wrong-device-property"
    assert caught.value.where == f"openvino.device_properties.{key}"


def test_a_precision_that_is_replaced_silently_is_noticed(build: Build, tmp_path: Path, context: BuildContext) -> None:
    capabilities = load_runtime().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    missing = next((name for name in ("FP16", "BF16") if name not in capabilities), None)
    if missing is None:
        pytest.skip("this processor has every precision")
    backend = OpenVino(OpenVino.Options(inference_precision={"FP16": "f16", "BF16": "bf16"}[missing]))
    engine = build(tiny_mlp(tmp_path))
    with pytest.raises(DeviceError) as caught:
        backend.open(engine, context)
    assert caught.value.code == "precision-not-honoured"


@pytest.mark.parametrize("device", ["CPU", "AUTO", "HETERO:FPGA,CPU"])
def test_the_precision_is_pinned_on_every_kind_of_device(device: str, tmp_path: Path) -> None:
    options = OpenVinoOptions(device=device, stand_in="FPGA_CPU" if "FPGA" in device else None)
    core = new_core(options, threads=1)
    compiled = compile_model(core, core.read_model(str(tiny_mlp(tmp_path).path)), options, where="")
    for op in compiled.get_runtime_model().get_ops():
        facts = op.get_rt_info()
        if "runtimePrecision" in facts:
            assert facts["runtimePrecision"].astype(str) != "bf16"


def test_a_blob_of_another_machine_is_told() -> None:
    text = "Check failed at src/plugin.cpp:789:\n[CPU] Cannot import compiled blob: incompatible runtime requirements."
    error = device_error(RuntimeError(text), "CPU", where="model.blob")
    assert (error.code, error.exit_code) == ("blob-of-another-machine", 6)


def test_a_driver_that_is_missing_is_named() -> None:
    text = 'Cannot load library "/x/libopenvino_intel_gpu_plugin.so": libOpenCL.so.1: cannot open shared object file'
    error = device_error(RuntimeError(text), "GPU.0", where="model.xml")
    assert "libOpenCL.so.1 is missing" in error.message
    assert "intel-opencl-icd" in str(error.hint)


@pytest.mark.parametrize("damage", ["xml", "bin", "blob"])
def test_damaged_engines_are_errors(damage: str, build: Build, tmp_path: Path, context: BuildContext) -> None:
    options: dict[str, Any] = {"artifact": "blob"} if damage == "blob" else {}
    engine = build(tiny_mlp(tmp_path), **options)
    path = engine.path.with_suffix(f".{damage}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(EdgetoolError) as caught:
        OpenVino(OpenVino.Options(**options)).open(engine, context)
    assert caught.value.exit_code in (3, 6, 7)


def test_missing_weights_are_an_integrity_error(build: Build, tmp_path: Path, context: BuildContext) -> None:
    engine = build(tiny_mlp(tmp_path))
    engine.path.with_suffix(".bin").unlink()
    with pytest.raises(IntegrityError):
        OpenVino(OpenVino.Options()).open(engine, context)


def test_present_devices_are_asked_in_a_process_of_their_own() -> None:
    command = [sys.executable, "-m", "edgetool_openvino.present"]
    assert "CPU" in json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
