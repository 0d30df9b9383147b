"""The bytes of an engine: the same for the same model, free of traces, never half-written."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgetool.artifact import Engine, Model
from edgetool.context import BuildContext
from edgetool.errors import HostError
from edgetool.graph import read_model
from edgetool.signature import DimRange
from edgetool.testing import feeds_for, tiny_branches, tiny_cnn, tiny_int8_cnn, tiny_lstm, tiny_mlp
from edgetool_openvino.backend import OpenVino
from edgetool_openvino.engine_files import write_engine
from edgetool_openvino.options import OpenVinoOptions

Build = Callable[..., Engine]


def _bytes(engine: Engine) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in engine.directory.iterdir()}


@pytest.mark.parametrize("make", [tiny_cnn, tiny_lstm, tiny_branches, tiny_int8_cnn])
def test_neither_place_nor_history_shows_in_the_bytes(
    make: Callable[[Path], Model], build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build(make(tmp_path))
    build(tiny_mlp(tmp_path))  # moves the counters that OpenVINO names operations by
    elsewhere = tmp_path / "another place"
    elsewhere.mkdir()
    model = read_model(
        Path(shutil.copy(make(tmp_path).path, elsewhere / "another name.onnx")), dict(first.signature.dims)
    )
    monkeypatch.chdir(elsewhere)
    second = build(model)
    assert _bytes(first) == _bytes(second)
    text = first.path.read_text()
    assert str(tmp_path) not in text
    assert "another" not in text
    assert "conversion_parameters" not in text


def test_a_dimension_of_one_size_is_fixed(build: Build, tmp_path: Path, context: BuildContext) -> None:
    path = tiny_cnn(tmp_path).path
    model = read_model(path, {"batch": DimRange(2, 2, 2)})
    engine = build(model)
    assert engine.signature.inputs[0].shape == (2, 3, 8, 8)
    assert engine.signature.outputs[0].shape == (2, 4)
    assert not engine.signature.dims
    with OpenVino(OpenVino.Options()).open(engine, context) as runner:
        assert runner.infer(feeds_for(engine.signature))["y"].shape == (2, 4)


def test_half_weights_are_half_the_size_and_are_told(build: Build, tmp_path: Path) -> None:
    model = _large(tmp_path, columns=256)
    whole, half = build(model), build(model, compress_to_fp16=True)
    sizes = [engine.path.with_suffix(".bin").stat().st_size for engine in (whole, half)]
    assert sizes[1] < 0.6 * sizes[0]
    assert whole.facts["weights"] == "as the model has them"
    assert half.facts["weights"] == "float16"
    assert [row.name for row in half.lowerings] == ["weights-to-float16"]
    assert half.precision == "float32"


def test_building_over_an_open_engine_leaves_it_alive(build: Build, tmp_path: Path, context: BuildContext) -> None:
    model = tiny_mlp(tmp_path)
    engine = build(model)
    with OpenVino(OpenVino.Options()).open(engine, context) as runner:
        before = runner.infer(feeds_for(model.signature))["y"]
        write_engine(model, engine.directory, OpenVinoOptions(), context)
        assert np.array_equal(runner.infer(feeds_for(model.signature))["y"], before)


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    _large(tmp_path, columns=256)
    script = """
import resource, signal, sys
from pathlib import Path
from edgetool.context import BuildContext
from edgetool.errors import EdgetoolError
from edgetool.graph import read_model
from edgetool_openvino.backend import OpenVino
folder = Path(sys.argv[1])
(folder / "engine").mkdir()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    OpenVino(OpenVino.Options()).build(read_model(folder / "large.onnx"), folder / "engine", BuildContext(threads=1))
except EdgetoolError as error:
    print(type(error).__name__, error.code, sorted(p.name for p in (folder / "engine").iterdir()))
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stdout.split(maxsplit=2) == [HostError.__name__, "host-failed", "[]\n"], done.stderr


def _large(folder: Path, *, columns: int) -> Model:
    weight = np.random.default_rng(0).normal(size=(64, columns)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="head")],
        "large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, columns])],
        [numpy_helper.from_array(weight, "w")],
    )
    path = folder / "large.onnx"
    proto: Any = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    path.write_bytes(proto.SerializeToString())
    return read_model(path)
