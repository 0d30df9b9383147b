"""The whole way to an engine that the device built: sent, built, followed, fetched, checked, run there."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgetool.artifact import Engine, Model
from edgetool.backends import BuildContext, Site
from edgetool.errors import BudgetError, DeviceError, EdgetoolError, HostError, IntegrityError, ModelError
from edgetool.testing import feeds_for, tiny_cnn
from edgetool_tensorrt.kit import build as build_kit
from edgetool_tensorrt.options import TensorRtOptions
from edgetool_tensorrt.ssh.builder import build
from edgetool_tensorrt.ssh.runner import open_on_device
from tests.tensorrt.ssh_device import ALIAS, SshDevice, wait_until
from tests.tensorrt.standin.device import StandIn
from tests.tiny import write_tiny_project

STAND_IN = TensorRtOptions(stand_in="TensorRT-RTX and ONNX Runtime")
SITE = Site(builder="ssh", host=ALIAS, facts={"sm": 86})

PROJECT = f"""
schema = 1
[model]
name = "net"
version = "1.0.0"
source = "model.onnx"
[model.dims.batch]
min = 1
opt = 2
max = 4
[data]
calibration = "calib"
evaluation = "eval"
[recipes.float]
passes = [{{ use = "simplify" }}]
[targets.board]
backend = "tensorrt"
recipe = "float"
facts = {{ sm = 86, tensorrt = "10.3" }}
builder = {{ kind = "ssh", host = "{ALIAS}" }}
tensorrt = {{ stand_in = "TensorRT-RTX and ONNX Runtime" }}
[targets.orin]
extends = "@nvidia/jetson-orin-nano-8gb"
recipe = "float"
builder = {{ host = "{ALIAS}" }}
"""


def context(
    note: Callable[[str], None] = lambda text: None, progress: Callable[[int, int, str], None] = lambda *_: None
) -> BuildContext:
    return BuildContext(threads=1, note=note, progress=progress)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    (tmp_path / "model").mkdir()
    return tiny_cnn(tmp_path / "model")


def built(model: Model, folder: Path, *, options: TensorRtOptions = STAND_IN, site: Site = SITE, **told: Any) -> Engine:
    folder.mkdir(parents=True)
    return build(model, folder, options, site, context(**told))


def failure(model: Model, folder: Path, kind: type[EdgetoolError], **given: Any) -> EdgetoolError:
    with pytest.raises(kind) as caught:
        built(model, folder, **given)
    assert list(folder.iterdir()) == []
    return caught.value


def working(device: SshDevice) -> list[str]:
    """Jobs and half-written files that the device still has."""
    return [name for name in device.files() if name.startswith("jobs/") or "/." in name]


@pytest.mark.usefixtures("standin")
def test_an_engine_comes_back_and_runs_on_the_device(model: Model, ssh_device: SshDevice, tmp_path: Path) -> None:
    said: list[tuple[int, int, str]] = []
    engine = built(model, tmp_path / "out", progress=lambda *told: said.append(told))
    assert engine.path.read_bytes()[:4] == b"vtrt"
    assert {"engine.plan"} <= {path.name for path in engine.directory.iterdir()} <= {"engine.plan", "layers.json"}
    assert engine.facts["kind"] == "plan"
    assert engine.facts["runtime_version"] == "10.3.0"
    assert engine.facts["stand_in"]
    device_facts = engine.facts["device"]
    assert isinstance(device_facts, dict)
    assert device_facts["sm"] == 86
    assert any("NVIDIA Stand-In" in what for _, _, what in said)
    assert working(ssh_device) == []

    with open_on_device(engine, STAND_IN, SITE, context()) as runner:
        assert runner.elsewhere == "NVIDIA Stand-In"
        feeds = feeds_for(model.signature)
        outputs = runner.infer(feeds)
        seconds = runner.time(feeds, 5)
        conditions = runner.conditions()
    expected = reference(model, feeds)
    assert outputs.keys() == expected.keys()
    for name, value in expected.items():
        assert outputs[name].dtype == value.dtype
        np.testing.assert_allclose(outputs[name], value, rtol=1e-4, atol=1e-5)
    assert len(seconds) >= 5
    assert all(0 < second < 1 for second in seconds)
    assert conditions["cuda_graph"] is True
    assert working(ssh_device) == []
    assert ssh_device.is_quiet(within=15)


def reference(model: Model, feeds: dict[str, Any]) -> dict[str, Any]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model.path), providers=["CPUExecutionProvider"])
    return dict(zip((one.name for one in session.get_outputs()), session.run(None, dict(feeds)), strict=True))


@pytest.mark.usefixtures("standin")
def test_the_model_is_sent_once(model: Model, ssh_device: SshDevice, tmp_path: Path) -> None:
    built(model, tmp_path / "one")
    sent: list[str] = []
    built(model, tmp_path / "two", progress=lambda done, total, what: sent.append(what))
    assert not any("sent" in what for what in sent)
    assert (tmp_path / "one" / "engine.plan").read_bytes() == (tmp_path / "two" / "engine.plan").read_bytes()
    assert sum(name.startswith("store/") for name in ssh_device.files()) == 2  # the model, and one engine


@pytest.mark.usefixtures("standin")
def test_external_data_travels_with_the_model(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    small = tiny_cnn(tmp_path / "model")
    proto = onnx.load(small.path)
    (tmp_path / "large").mkdir()
    path = tmp_path / "large" / "net.onnx"
    onnx.save_model(proto, path, save_as_external_data=True, location="net weights.bin", size_threshold=0)
    engine = built(Model(path, small.signature), tmp_path / "out")
    assert engine.path.stat().st_size > 0


def test_another_gpu_than_described_is_refused_before_anything_is_sent(
    model: Model, ssh_device: SshDevice, standin: StandIn, tmp_path: Path
) -> None:
    error = failure(model, tmp_path / "out", DeviceError, site=Site(host=ALIAS, facts={"sm": 87}))
    assert error.code == "device-not-as-described"
    assert not any("--onnx" in argument for call in standin.calls() for argument in call)
    assert not (ssh_device.home / ".cache").exists()


def test_an_rtx_engine_is_no_engine_of_a_device_that_is_no_stand_in(
    model: Model, standin: StandIn, tmp_path: Path
) -> None:
    error = failure(model, tmp_path / "out", DeviceError, options=TensorRtOptions())
    assert error.code == "unexpected-engine"


@pytest.mark.parametrize(
    ("faults", "kind", "code"),
    [
        ({"truncate_engine": True}, IntegrityError, "truncated-engine"),
        pytest.param({"engine_tag": "xxxx"}, ModelError, "not-an-engine", marks=pytest.mark.slow),
        ({"engine_tag": "ftrt", "engine_version": "10.7.0.23"}, DeviceError, "unexpected-engine"),
        ({"out_of_memory": True}, HostError, "device-out-of-memory"),
        pytest.param({"killed": True}, HostError, "device-out-of-memory", marks=pytest.mark.slow),
        pytest.param({"disk_full": True}, HostError, "engine-not-saved", marks=pytest.mark.slow),
        pytest.param({"no_implementation": True}, ModelError, "no-kernel-for-node", marks=pytest.mark.slow),
        ({"die": True}, EdgetoolError, "trtexec-crashed"),
    ],
)
def test_what_goes_wrong_on_the_device_is_told_as_it_is(
    model: Model,
    ssh_device: SshDevice,
    standin: StandIn,
    tmp_path: Path,
    faults: dict[str, Any],
    kind: type[EdgetoolError],
    code: str,
) -> None:
    standin.set_faults(**faults)
    with pytest.raises(kind) as caught:
        built(model, tmp_path / "out")
    assert caught.value.code == code
    assert caught.value.hint
    assert working(ssh_device) == []
    assert ssh_device.is_quiet(within=15)


@pytest.mark.parametrize(
    "faults",
    [{"truncate_outputs": True}, {"wrong_count": True}, {"drop_output": True}],
    ids=lambda one: next(iter(one)),
)
def test_outputs_that_cannot_be_right_are_refused(
    model: Model, standin: StandIn, tmp_path: Path, faults: dict[str, Any]
) -> None:
    engine = built(model, tmp_path / "out")
    with open_on_device(engine, STAND_IN, SITE, context()) as runner:
        standin.set_faults(**faults)
        with pytest.raises(BudgetError) as caught:
            runner.infer(feeds_for(model.signature))
    assert caught.value.code == "unreadable-outputs"


@pytest.mark.usefixtures("standin")
@pytest.mark.parametrize("name", ["$(touch pwned)", "a b", "x;reboot", "x'", "ä"])
def test_tensor_names_never_reach_a_shell(name: str, model: Model, ssh_device: SshDevice, tmp_path: Path) -> None:
    proto = onnx.load(model.path)
    for node in proto.graph.node:
        node.input[:] = [name if one == "x" else one for one in node.input]
    proto.graph.input[0].name = name
    onnx.save(proto, model.path)
    spec = model.signature.inputs[0]
    signature = type(model.signature)(
        (type(spec)(name, spec.dtype, spec.shape),), model.signature.outputs, model.signature.dims
    )
    error = failure(Model(model.path, signature), tmp_path / "out", ModelError)
    assert error.code == "unsafe-tensor-name"
    assert not list(ssh_device.folder.rglob("pwned"))


def test_an_engine_of_another_device_is_not_opened(model: Model, standin: StandIn, tmp_path: Path) -> None:
    engine = built(model, tmp_path / "out")
    standin.set_faults(banner="v100700")
    with pytest.raises(DeviceError) as caught:
        open_on_device(engine, STAND_IN, SITE, context())
    assert caught.value.code == "engine-of-another-version"


@pytest.mark.usefixtures("standin")
def test_a_kit_is_built_on_the_device_before_it_runs(model: Model, ssh_device: SshDevice, tmp_path: Path) -> None:
    (tmp_path / "kit").mkdir()
    facts = {"sm": 86, "tensorrt": "10.3.0", "arch": platform.machine()}
    kit = build_kit(model, tmp_path / "kit", STAND_IN, Site(builder="kit", facts=facts), context())
    feeds = feeds_for(model.signature)
    with open_on_device(kit, STAND_IN, SITE, context()) as runner:
        outputs = runner.infer(feeds)
    for name, value in reference(model, feeds).items():
        np.testing.assert_allclose(outputs[name], value, rtol=1e-4, atol=1e-5)
    assert working(ssh_device) == []


@pytest.mark.slow
@pytest.mark.usefixtures("standin")
def test_the_command_line_builds_validates_and_never_calls_a_stand_in_proven(
    ssh_device: SshDevice, tmp_path: Path, run_cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    write_tiny_project(tmp_path, PROJECT, calibration=1, evaluation=2)
    done = run_cli("build", "--target", "board", cwd=tmp_path)
    assert done.returncode == 9, done.stderr
    assert "unverified" in done.stdout
    done = run_cli("build", "--target", "orin", cwd=tmp_path)
    assert done.returncode == 6, done.stderr
    assert "device-not-as-described" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_command_that_is_ended_leaves_nothing_running_on_the_device(
    how: signal.Signals, ssh_device: SshDevice, standin: StandIn, tmp_path: Path
) -> None:
    standin.set_faults(slow=60.0)
    write_tiny_project(tmp_path, PROJECT, calibration=1, evaluation=1)
    command = [sys.executable, "-m", "edgetool", "build", "--target", "board"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    builds = wait_until(
        lambda: process.poll() is not None or any("--onnx" in line for line in ssh_device.running()), seconds=60
    )
    process.send_signal(how)
    stderr = process.communicate(timeout=30)[1]
    assert builds, stderr
    assert process.returncode == (-9 if how == signal.SIGKILL else 130), stderr
    assert ssh_device.is_quiet(within=15), ssh_device.running()
    assert wait_until(lambda: working(ssh_device) == [], seconds=10)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_build_whose_client_is_killed_ends_on_the_device(
    how: signal.Signals, model: Model, ssh_device: SshDevice, standin: StandIn, tmp_path: Path
) -> None:
    standin.set_faults(slow=60.0)
    pid = os.fork()
    if pid == 0:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            built(model, tmp_path / "out")
        finally:
            os._exit(1)
    assert wait_until(lambda: any("--onnx" in line for line in ssh_device.running()), seconds=20)
    os.killpg(pid, how)
    os.waitpid(pid, 0)
    assert ssh_device.is_quiet(within=15), ssh_device.running()
    assert wait_until(lambda: working(ssh_device) == [], seconds=3)


@pytest.mark.slow
def test_a_build_outlives_a_broken_connection(
    model: Model, ssh_device: SshDevice, standin: StandIn, tmp_path: Path
) -> None:
    standin.set_faults(slow=4.0)
    notes: list[str] = []

    def drop() -> None:
        if wait_until(lambda: any("--onnx" in line for line in ssh_device.running()), seconds=20):
            ssh_device.drop_connections()

    dropper = threading.Thread(target=drop)
    dropper.start()
    engine = built(model, tmp_path / "out", note=notes.append)
    dropper.join()
    assert engine.path.stat().st_size > 0
    assert any("again" in note for note in notes)
    assert sum("--onnx" in " ".join(call) for call in standin.calls()) == 1


@pytest.mark.slow
def test_eight_builds_at_once_take_turns_or_share(
    model: Model, ssh_device: SshDevice, standin: StandIn, tmp_path: Path
) -> None:
    other = tiny_cnn_variant(tmp_path / "other")
    folders = [tmp_path / f"out{index}" for index in range(8)]
    with ThreadPoolExecutor(8) as pool:
        engines = list(pool.map(built, [model, other] * 4, folders))
    assert len({engine.path.read_bytes() for engine in engines}) == 2
    assert working(ssh_device) == []
    assert ssh_device.is_quiet(within=15)


def tiny_cnn_variant(folder: Path) -> Model:
    folder.mkdir()
    found = tiny_cnn(folder)
    proto = onnx.load(found.path)
    weight = next(one for one in proto.graph.initializer if len(one.dims) > 1)
    changed = onnx.numpy_helper.to_array(weight) * 0.5
    weight.CopyFrom(onnx.numpy_helper.from_array(changed, weight.name))
    onnx.save(proto, found.path)
    return found


@pytest.mark.jetson
def test_a_real_board_builds_and_runs(model: Model, real_jetson: str, tmp_path: Path) -> None:
    site = Site(builder="ssh", host=real_jetson)
    engine = built(model, tmp_path / "out", options=TensorRtOptions(), site=site)
    assert engine.path.read_bytes()[:4] == b"ftrt"
    feeds = feeds_for(model.signature)
    with open_on_device(engine, TensorRtOptions(), site, context()) as runner:
        outputs = runner.infer(feeds)
    for name, value in reference(model, feeds).items():
        np.testing.assert_allclose(outputs[name], value, rtol=1e-2, atol=1e-2)
