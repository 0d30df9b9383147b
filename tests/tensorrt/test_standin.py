"""The stand-in device behaves like a device: it builds, runs, refuses, remembers and can be spoiled."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edgetool.artifact import Model
from edgetool.errors import BudgetError
from edgetool.signature import Signature, TensorSpec
from edgetool.testing.models import tiny_cnn, tiny_mlp
from edgetool_tensorrt.layers import parse_layers
from edgetool_tensorrt.plan_file import read_header
from edgetool_tensorrt.trtexec import (
    BuildSettings,
    Log,
    Profile,
    RunSettings,
    build_arguments,
    input_bytes,
    listed,
    offered,
    read_log,
    read_outputs,
    read_times,
    run_arguments,
)
from edgetool_tensorrt.version import Version
from tests.tensorrt.standin.device import StandIn, create

pytest.importorskip("tensorrt_rtx")
pytest.importorskip("onnxruntime")

PROFILES = {"x": Profile((1, 3, 8, 8), (2, 3, 8, 8), (4, 3, 8, 8))}
X = np.random.default_rng(7).normal(size=(2, 3, 8, 8)).astype("float32")


@dataclass(frozen=True)
class Call:
    """One call of trtexec that has ended."""

    status: int
    log: Log
    text: str

    @property
    def code(self) -> str | None:
        return self.log.reason.code if self.log.reason else None


class Board:
    """A stand-in device with one model on it, and what its owner does there."""

    def __init__(self, folder: Path, make: Callable[[Path], Model] = tiny_cnn, *, tensorrt: str = "10.3.0") -> None:
        self.device: StandIn = create(folder / "device", tensorrt=tensorrt)
        self.files = folder / "files"
        self.files.mkdir()
        self.model = make(self.files)
        self.version = Version.parse(tensorrt)

    def trtexec(self, *arguments: str) -> Call:
        done = subprocess.run(
            [self.device.bin / "trtexec", *arguments], capture_output=True, text=True, cwd="/", env={}, timeout=120
        )
        text = done.stdout + done.stderr
        return Call(done.returncode, read_log(text), text)

    def build(self, **changed: object) -> Call:
        settings = {"onnx": str(self.model.path), "engine": str(self.engine), "profiles": PROFILES, **changed}
        return self.trtexec(*build_arguments(self.version, BuildSettings(**settings)).argv)

    def run(self, **changed: object) -> Call:
        (self.files / "x.bin").write_bytes(input_bytes(self.version, X))
        settings = {
            "engine": str(self.engine), "shapes": {"x": X.shape}, "inputs": {"x": str(self.files / "x.bin")},
            "outputs": str(self.files / "o.json"), "iterations": 3, "seconds": 0.0, **changed,
        }  # fmt: skip
        return self.trtexec(*run_arguments(self.version, RunSettings(**settings)).argv)

    def outputs(self) -> dict[str, np.ndarray]:
        return read_outputs((self.files / "o.json").read_text(), self.model.signature)

    @property
    def engine(self) -> Path:
        return self.files / "e.plan"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Board:
    """A board with an engine on it."""
    board = Board(tmp_path_factory.mktemp("board"))
    call = board.build(timing_cache=str(board.files / "t"), layer_info=str(board.files / "l.json"))
    assert (call.status, call.log.passed, call.code) == (0, True, None), call.text
    return board


@pytest.fixture
def board(built: Board) -> Iterator[Board]:
    """The same, made sound again afterwards."""
    yield built
    built.device.set_faults()


@pytest.mark.parametrize("tensorrt", ["8.2.1", "8.6.2", "10.3.0", "10.16.2.10", "11.1.0.88"])
def test_help_and_banner_of_every_version(tmp_path: Path, tensorrt: str) -> None:
    device = create(tmp_path / "device", tensorrt=tensorrt)
    done = subprocess.run([device.bin / "trtexec", "--help"], capture_output=True, text=True, check=True)
    assert offered(done.stdout) == listed(Version.parse(tensorrt))
    log = read_log(done.stdout)
    assert (log.version, log.passed) == (Version.parse(tensorrt), None)
    assert device.calls() == [("trtexec", "--help")]


def test_nvidia_smi(tmp_path: Path) -> None:
    device = create(tmp_path / "device", gpu="Orin (nvgpu)")
    query = "--query-gpu=name,compute_cap,driver_version,memory.total"
    done = subprocess.run([device.bin / "nvidia-smi", query, "--format=csv,noheader"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "Orin (nvgpu), 8.6, 540.4.0, 8192 MiB\n")
    wrong = subprocess.run([device.bin / "nvidia-smi", "--query-gpu=colour", "--format=csv"], capture_output=True)
    assert wrong.returncode == 2


def test_building_is_real(built: Board) -> None:
    header = read_header(built.engine)
    assert (header.product, header.truncated) == ("tensorrt-rtx", False)
    assert (built.files / "t").exists()
    rows = parse_layers((built.files / "l.json").read_text())
    assert [row.name for row in rows][:2] == ["stem", "stem_relu"]
    assert {row.precision for row in rows} == {"float32"}


def test_outputs_are_computed_from_the_uploaded_inputs(board: Board) -> None:
    import onnxruntime

    times = board.files / "times.json"
    call = board.run(times=str(times))
    assert (call.status, call.log.passed) == (0, True), call.text
    expected = onnxruntime.InferenceSession(str(board.model.path)).run(None, {"x": X})[0]
    np.testing.assert_allclose(board.outputs()["y"], expected, rtol=1e-5, atol=1e-5)
    assert len(read_times(times.read_text())) == 3


def test_inputs_are_random_without_files(board: Board) -> None:
    board.run()
    given = board.outputs()["y"]
    assert board.run(inputs=None).status == 0
    assert not np.allclose(board.outputs()["y"], given)


def test_it_runs_engines_of_its_own_only(board: Board, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.plan"
    foreign.write_bytes(board.engine.read_bytes()[:-1] + b"\x00\x01")
    call = board.run(engine=str(foreign))
    assert (call.status, call.code) == (1, "engine-of-another-version")
    foreign.write_bytes(b"ONNX or whatever")
    assert board.run(engine=str(foreign)).code == "damaged-engine"
    assert board.run(engine=str(tmp_path / "missing")).code == "missing-model-file"


def test_an_engine_of_another_version_is_refused(tmp_path: Path) -> None:
    old = Board(tmp_path, tiny_mlp)
    assert old.build(profiles={}).status == 0
    facts = json.loads((old.device.folder / "device.json").read_text())
    (old.device.folder / "device.json").write_text(json.dumps({**facts, "tensorrt": [10, 7, 0]}))
    assert old.run(shapes={}, inputs=None).code == "engine-of-another-version"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--onnx=m.onnx", "--buildOnly"], "trtexec-lacks-option"),
        (["--onnx=m.onnx", "--saveEngine=e", "extra"], "trtexec-failed"),
        (["--skipInference"], "trtexec-failed"),
        (["--onnx=/nowhere/m.onnx", "--saveEngine=/tmp/e", "--skipInference"], "missing-model-file"),
    ],
)
def test_arguments_are_checked(board: Board, arguments: list[str], code: str) -> None:
    call = board.trtexec(*arguments)
    assert (call.status, call.log.passed, call.code) == (1, False, code)


def test_profiles_are_checked(board: Board, tmp_path: Path) -> None:
    engine = str(tmp_path / "e.plan")
    assert board.build(engine=engine, profiles={}).code == "invented-shapes"
    unknown = {"other": Profile((1,), (1,), (1,))}
    assert board.build(engine=engine, profiles=unknown).code == "wrong-profile"


def test_corrupt_models_and_inputs_of_a_wrong_size(board: Board, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(board.model.path.read_bytes()[:300])
    log = board.build(onnx=str(broken), engine=str(tmp_path / "e.plan")).log
    assert log.passed is False
    assert log.reason is not None
    assert log.reason.error == "ModelError"
    assert not (tmp_path / "e.plan").exists()
    (tmp_path / "x.bin").write_bytes(b"123")
    assert board.run(inputs={"x": str(tmp_path / "x.bin")}).code == "wrong-input-size"


FAULTS_OF_BUILDS = [
    ({"out_of_memory": True}, 1, "device-out-of-memory"),
    ({"no_implementation": True}, 1, "no-kernel-for-node"),
    ({"disk_full": True}, 1, "engine-not-saved"),
    ({"killed": True}, -signal.SIGKILL, None),
    ({"die": True}, -signal.SIGSEGV, None),
]


@pytest.mark.parametrize(("faults", "status", "code"), FAULTS_OF_BUILDS)
def test_faults_of_builds(board: Board, tmp_path: Path, faults: dict[str, bool], status: int, code: str | None) -> None:
    board.device.set_faults(**faults)
    call = board.build(engine=str(tmp_path / "e.plan"))
    assert (call.status, call.log.passed, call.code) == (status, False if code else None, code)


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ({"truncate_engine": True}, {"truncated": True}),
        ({"engine_tag": "ftrt"}, {"product": "tensorrt"}),
        ({"engine_version": "10.7.0.23"}, {"version": Version(10, 7, 0, 23)}),
    ],
)
def test_spoiled_engines(board: Board, tmp_path: Path, faults: dict[str, bool | str], expected: dict) -> None:
    board.device.set_faults(**faults)
    engine = tmp_path / "e.plan"
    assert board.build(engine=str(engine)).log.passed
    header = read_header(engine)
    assert {name: getattr(header, name) for name in expected} == expected
    board.device.set_faults()
    assert board.run(engine=str(engine)).status == 1, "a spoiled engine does not load"


def test_spoiled_outputs(board: Board) -> None:
    board.run()
    sound = board.outputs()["y"]
    board.device.set_faults(perturb=0.5)
    board.run()
    np.testing.assert_allclose(board.outputs()["y"], sound + 0.5, atol=1e-4)
    board.device.set_faults(nan=True)
    board.run()
    assert np.isnan(board.outputs()["y"]).all()
    for fault in ("truncate_outputs", "wrong_count", "drop_output"):
        board.device.set_faults(**{fault: True})
        assert board.run().status == 0, "trtexec does not notice"
        with pytest.raises(BudgetError, match="unreadable"):
            board.outputs()


def test_another_banner(board: Board) -> None:
    board.device.set_faults(banner="v100700")
    assert board.trtexec("--help").log.version == Version(10, 7)


def test_a_slow_build_shows_that_it_works(board: Board, tmp_path: Path) -> None:
    board.device.set_faults(slow=0.5)
    started = time.monotonic()
    call = board.build(engine=str(tmp_path / "e.plan"))
    assert time.monotonic() - started > 0.5
    assert call.log.passed
    assert call.text.count("GraphReduction") >= 3


def test_int64_is_int32_before_tensorrt_10(tmp_path: Path) -> None:
    import onnx
    from onnx import helper

    def double(folder: Path) -> Model:
        node = helper.make_node("Add", ["x", "x"], ["y"], name="double")
        values = [helper.make_tensor_value_info(name, onnx.TensorProto.INT64, [3]) for name in "xy"]
        graph = helper.make_graph([node], "double", values[:1], values[1:])
        opsets = [helper.make_opsetid("", 17)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), folder / "double.onnx")
        specs = [TensorSpec(name, "int64", (3,)) for name in "xy"]
        return Model(folder / "double.onnx", Signature((specs[0],), (specs[1],)))

    values = np.array([1, -2, 3])
    for tensorrt, size in (("8.6.2", 12), ("10.3.0", 24)):
        board = Board(tmp_path / tensorrt, double, tensorrt=tensorrt)
        call = board.build(profiles={})
        assert call.status == 0, call.text
        data = input_bytes(board.version, values)
        assert len(data) == size
        (board.files / "ids.bin").write_bytes(data)
        call = board.run(inputs={"x": str(board.files / "ids.bin")}, shapes={})
        assert call.status == 0, call.text
        assert board.outputs()["y"].tolist() == [2, -4, 6]


def test_an_unknown_fault_is_a_mistake(tmp_path: Path) -> None:
    device = create(tmp_path / "device", python=sys.executable)
    device.set_faults(perturbed=True)
    assert subprocess.run([device.bin / "trtexec", "--help"], capture_output=True).returncode == 1
