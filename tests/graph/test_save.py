"""Saving: whole or not at all, in one file or with external data, and the same bytes every time."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgetool import graph
from edgetool.disk import written_aside
from edgetool.errors import HostError
from edgetool.graph.save import INLINE_LIMIT, save
from edgetool.graph.streaming import load_ir, save_ir
from tests.graph.building import linear, run, with_external_weight, written

WEIGHT = np.arange(512 * 4, dtype=np.float32).reshape(4, 512) / 100


def _wide() -> onnx.ModelProto:
    return linear(WEIGHT, outputs={"y": ["batch", 512]})


def test_round_trip(tmp_path: Path) -> None:
    proto = _wide()
    save(proto, tmp_path / "m.onnx")
    assert graph.load(tmp_path / "m.onnx") == _wide()
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def test_external_weights_come_into_one_small_file(tmp_path: Path) -> None:
    path = with_external_weight(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    save(graph.load(path, weights=False), out / "m.onnx", folder=tmp_path)
    assert [path.name for path in out.iterdir()] == ["m.onnx"]
    onnx.checker.check_model(str(out / "m.onnx"))
    saved = onnx.load(out / "m.onnx").graph.initializer[0]
    assert saved.name == "w"
    np.testing.assert_array_equal(numpy_helper.to_array(saved), np.eye(4))


def test_external_weights_without_their_folder_are_a_mistake_of_the_caller(tmp_path: Path) -> None:
    path = with_external_weight(tmp_path)
    with pytest.raises(ValueError, match="folder"):
        save(graph.load(path, weights=False), tmp_path / "out.onnx")


@pytest.mark.parametrize("external", [False, True])
def test_a_large_model_gets_external_data(external: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    source.mkdir()
    written(_wide(), source / "m.onnx")
    monkeypatch.setattr(sys.modules[save.__module__], "INLINE_LIMIT", 1000)
    if external:
        save(graph.load(source / "m.onnx"), source / "m.onnx")
    out = tmp_path / "out.onnx"
    save(graph.load(source / "m.onnx", weights=False), out, folder=source)
    assert {path.name for path in tmp_path.iterdir()} == {"source", "out.onnx", "out.onnx.data"}
    assert graph.files(out) == (out, tmp_path / "out.onnx.data")
    graph.check(out)
    x = np.ones((2, 4), np.float32)
    np.testing.assert_allclose(run(out, {"x": x})[0], x @ WEIGHT, rtol=1e-6)


@pytest.mark.parametrize("limit", [1000, INLINE_LIMIT])
def test_streamed_models_are_ordinary_files(limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgetool.graph import streaming

    monkeypatch.setattr(streaming, "_LATE_OVER", 1000)
    path = written(_wide(), tmp_path / "m.onnx")
    saved = tmp_path / "first" / "m.onnx", tmp_path / "second" / "m.onnx"
    for target in saved:
        target.parent.mkdir()
        save_ir(load_ir(path), target, inline_limit=limit)
    onnx.checker.check_model(str(saved[0]), full_check=True)
    assert graph.digest(saved[0]) == graph.digest(saved[1])
    assert (tmp_path / "first" / "m.onnx.data").exists() == (limit == 1000)
    loaded = graph.load(saved[0])
    np.testing.assert_array_equal(numpy_helper.to_array(loaded.graph.initializer[0]), WEIGHT)
    assert [node.op_type for node in loaded.graph.node] == ["MatMul", "Relu"]
    assert loaded.opset_import[0].version == 17


def test_saving_leaves_the_ir_model_usable(tmp_path: Path) -> None:
    model = load_ir(written(linear(np.ones((512, 1024), np.float32)), tmp_path / "m.onnx"))
    save_ir(model, tmp_path / "first.onnx")
    save_ir(model, tmp_path / "second.onnx")
    assert (tmp_path / "first.onnx").read_bytes() == (tmp_path / "second.onnx").read_bytes()


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), written_aside(path) as file:
        file.write(b"half of it")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_no_room_is_the_hosts_fault(tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        save(_wide(), tmp_path / "no such folder" / "m.onnx")
    assert (caught.value.code, caught.value.exit_code) == ("host-failed", 10)


def test_a_full_disk(tmp_path: Path) -> None:
    full = Path("/dev/full")
    with (
        pytest.raises(HostError, match="No space left"),
        written_aside(tmp_path / "m.onnx"),
        full.open("wb", buffering=0) as file,
    ):
        file.write(b"x")
    assert not list(tmp_path.iterdir())
