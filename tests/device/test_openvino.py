"""The self-test for OpenVINO, compiled by CMake against the wheel's own headers."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgetool.backends import BuildContext
from edgetool.bundle.golden import write_golden
from edgetool.graph.signature import read_model
from edgetool_openvino.backend import OpenVino
from edgetool_openvino.options import OpenVinoOptions
from edgetool_openvino.runtime import load_runtime
from tests.device.conftest import tool
from tests.device.selftest import linear, run, write_sources


def write_openvino_bundle(folder: Path, options: OpenVinoOptions) -> Path:
    """Built, run and written as edgetool does it."""
    bundle, source = folder / "net.edgebundle", folder / "net.onnx"
    for name in ("model", "io"):
        (bundle / name).mkdir(parents=True)
    model, inputs, _ = linear()
    onnx.save(model, source)
    backend, context = OpenVino(options), BuildContext(threads=1)
    engine = backend.build(read_model(source), bundle / "model", context)
    with backend.open(engine, context) as runner:
        write_golden(bundle / "io", inputs, runner.infer(inputs))
    own = backend.device_sources(engine)
    assert own is not None
    write_sources(bundle, own, f"model/{engine.entry}")
    return bundle


@pytest.fixture(scope="module")
def ir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_openvino_bundle(tmp_path_factory.mktemp("openvino"), OpenVinoOptions())


@pytest.fixture(scope="module")
def program(ir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    cmake, build = tool("cmake"), tmp_path_factory.mktemp("program")
    where = Path(load_runtime().__file__).parent / "cmake"
    strict = "-DCMAKE_C_FLAGS=-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror"
    configured = run([cmake], "-S", ir / "src", "-B", build, f"-DOpenVINO_DIR={where}", strict)
    assert configured.returncode == 0, configured.stderr
    made = run([cmake], "--build", build)
    assert made.returncode == 0, made.stdout + made.stderr
    return build / "edgetool-selftest"


@pytest.mark.slow
def test_golden_outputs_agree(program: Path, ir: Path) -> None:
    done = run([program], "--threads", "1", "--repeat", "5", ir)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("openvino 20")
    assert "case 0: best: 100.00% of the values are equal" in done.stdout


@pytest.mark.slow
def test_the_program_serves_blobs_too(program: Path, tmp_path: Path) -> None:
    blob = write_openvino_bundle(tmp_path, OpenVinoOptions(artifact="blob"))
    assert (blob / "model" / "model.blob").is_file()
    done = run([program], blob)
    assert done.returncode == 0, done.stderr
    (blob / "model" / "model.blob").write_bytes(b"")
    assert run([program], blob).returncode == 3


@pytest.mark.slow
def test_what_was_tampered_with(program: Path, ir: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(ir, tmp_path / "net.edgebundle"))
    path = bundle / "io" / "case0-output0.bin"
    (-np.fromfile(path, "<f4")).tofile(path)
    assert run([program], bundle).returncode == 1
    (bundle / "model" / "model.xml").write_text("<net/>")
    done = run([program], bundle)
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1].startswith("edgetool-selftest: the engine: ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("set device CPU", "set device FPGA", "FPGA"),
        ("set device CPU\n", "", "names no device"),
        ("PERFORMANCE_HINT=LATENCY", "PERFORMANCE_HINT=FROB", "FROB"),
        ("CPU%20PERFORMANCE_HINT=LATENCY", "frob", "no property of a device"),
        ("set property CPU%20NUM_STREAMS=1", "set frob 1", "'frob' is no setting of OpenVINO"),
        ("case0-input0.bin x", "case0-input0.bin z", "z"),
        ("float32 2x4", "float32 4x2", "edgetool-selftest"),
    ],
)
def test_a_wrong_configuration(program: Path, ir: Path, tmp_path: Path, old: str, new: str, said: str) -> None:
    bundle = Path(shutil.copytree(ir, tmp_path / "net.edgebundle"))
    path = bundle / "src" / "selftest.conf"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    done = run([program], bundle)
    assert done.returncode == 3
    assert said in done.stderr


@pytest.mark.slow
def test_the_library_is_linked(program: Path, ir: Path) -> None:
    done = run([program], "--library", "libopenvino_c.so", ir)
    assert done.returncode == 3
    assert "LD_LIBRARY_PATH" in done.stderr


def test_the_device_is_the_real_one_and_not_its_stand_in() -> None:
    from edgetool.artifact import Engine
    from edgetool.signature import Signature

    engine = Engine(
        "openvino", Path(), "model.xml", "float16", Signature((), ()), facts={"dynamic_quantization_group": 32}
    )
    own = OpenVino(OpenVinoOptions(device="AUTO:NPU,CPU", inference_precision="f16", stand_in="CPU")).device_sources(
        engine
    )
    assert own is not None
    assert own.settings[0] == ("device", "AUTO:NPU,CPU")
    assert ("property", "NPU INFERENCE_PRECISION_HINT=f16") in own.settings
    assert ("property", "CPU DYNAMIC_QUANTIZATION_GROUP_SIZE=32") in own.settings
    assert not [value for _, value in own.settings if "INFERENCE_NUM_THREADS" in value]


def test_devices_with_a_plugin_of_their_own_have_none() -> None:
    from edgetool.artifact import Engine
    from edgetool.signature import Signature

    options = OpenVinoOptions(device="HETERO:FPGA,CPU", plugin_name="FPGA", plugin_library="/opt/fpga/libplugin.so")
    assert (
        OpenVino(options).device_sources(Engine("openvino", Path(), "model.xml", "float32", Signature((), ()))) is None
    )
