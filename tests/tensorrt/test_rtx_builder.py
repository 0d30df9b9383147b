"""The RTX builder on small networks: what it writes, what it tells meanwhile, and that it can be stopped."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgetool.errors import InterruptedByUserError
from edgetool.graph import read_model
from edgetool.testing import MakeModel, tiny_branches, tiny_cnn, tiny_int8_cnn, tiny_lstm, tiny_mlp, tiny_text
from edgetool_tensorrt.plan_file import read_header
from edgetool_tensorrt.rtx.toolkit import installed_version
from tests.tensorrt import typed_models as typed
from tests.tensorrt.rtx import build_rtx
from tests.tensorrt.rtx_limited import build_limited

pytest.importorskip("tensorrt_rtx")

MODELS = (tiny_mlp, tiny_cnn, tiny_int8_cnn, tiny_branches, tiny_text, tiny_lstm)
REPEATABLE = (tiny_mlp, tiny_cnn, tiny_branches, tiny_text)
"""Not loops and quantized networks: TensorRT-RTX 1.7 numbers their inner tensors by where they lie in memory."""


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_builds_a_plan_that_names_its_maker(tmp_path: Path, make: MakeModel) -> None:
    model = make(tmp_path)
    engine = build_rtx(model, tmp_path / "engine")
    header = read_header(engine.path)
    assert (header.product, str(header.version)) == ("tensorrt-rtx", installed_version())
    assert not header.truncated and not header.surplus
    assert [path.name for path in engine.directory.iterdir()] == ["engine.plan"]
    assert engine.signature == model.signature
    assert engine.precision == ("int8" if make is tiny_int8_cnn else "float32")


def test_facts_tell_what_was_pinned(tmp_path: Path) -> None:
    engine = build_rtx(tiny_cnn(tmp_path), tmp_path / "engine", profiling="none", workspace=64, optimization_level=5)
    assert engine.facts == {
        "kind": "plan",
        "product": "tensorrt-rtx",
        "version": installed_version(),
        "capabilities": [86],
        "profiling": "none",
        "profiles": {"x": {"min": [1, 3, 8, 8], "opt": [2, 3, 8, 8], "max": [4, 3, 8, 8]}},
        "workspace": "64MiB",
        "optimization_level": 5,
    }


@pytest.mark.parametrize("make", REPEATABLE, ids=lambda make: make.__name__)
def test_same_input_same_bytes(tmp_path: Path, make: MakeModel) -> None:
    model = make(tmp_path)
    first, second = (build_rtx(model, tmp_path / name) for name in ("first", "second"))
    assert first.path.read_bytes() == second.path.read_bytes()


def test_same_bytes_in_another_process_and_folder(tmp_path: Path) -> None:
    model = typed.product(tmp_path, "float16")
    here = build_rtx(model, tmp_path / "here")
    (tmp_path / "elsewhere").mkdir()
    copy = shutil.copy(model.path, tmp_path / "elsewhere" / "copy.onnx")
    assert build_limited(Path(copy), tmp_path / "there") == "built"
    assert (tmp_path / "there" / here.entry).read_bytes() == here.path.read_bytes()


def test_capabilities_decide_the_bytes(tmp_path: Path) -> None:
    model = tiny_mlp(tmp_path)
    plans = {build_rtx(model, tmp_path / str(sm), sm=sm).path.read_bytes() for sm in (80, 86, 89, 120, 121)}
    assert len(plans) == 5


def test_external_data_are_found(tmp_path: Path) -> None:
    inside = tiny_mlp(tmp_path)
    (tmp_path / "apart").mkdir()
    path = tmp_path / "apart" / "model.onnx"
    proto = onnx.load(inside.path)
    onnx.save(proto, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    apart = build_rtx(read_model(path), tmp_path / "engine-apart")
    assert apart.path.read_bytes() == build_rtx(inside, tmp_path / "engine-inside").path.read_bytes()


def test_progress_counts_within_named_phases(tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    build_rtx(tiny_cnn(tmp_path), tmp_path / "engine", progress=lambda *row: told.append(row))
    assert {what for _, _, what in told} >= {"Building engine", "Optimizing graph"}
    assert all(0 <= done <= total for done, total, _ in told)
    assert len(told) > 50


def test_whoever_raises_in_progress_cancels(tmp_path: Path) -> None:
    told = []

    def interrupt(done: int, total: int, what: str) -> None:
        told.append(what)
        if what == "Optimizing graph":
            raise InterruptedByUserError("interrupted-by-user", "enough")

    with pytest.raises(InterruptedByUserError, match="enough"):
        build_rtx(tiny_cnn(tmp_path), tmp_path / "engine", progress=interrupt)
    assert told[-1] == "Optimizing graph"
    assert not list((tmp_path / "engine").iterdir())
    build_rtx(tiny_mlp(tmp_path), tmp_path / "again")  # nothing of the cancelled build is in the way


def test_ctrl_c_is_not_swallowed(tmp_path: Path) -> None:
    def press(done: int, total: int, what: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_rtx(tiny_cnn(tmp_path), tmp_path / "engine", progress=press)


def test_says_nothing_of_the_missing_gpu(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    build_rtx(tiny_cnn(tmp_path), tmp_path / "engine")
    assert capfd.readouterr() == ("", "")


def test_a_full_disk_is_no_success(tmp_path: Path) -> None:
    """TensorRT-RTX reports success when its stream cannot be written; the largest file stands for the disk."""
    assert build_limited(tiny_mlp(tmp_path).path, tmp_path / "engine", "file", 1 << 16) == "disk-full"
    assert not list((tmp_path / "engine").iterdir())


@pytest.mark.parametrize("spare", [pytest.param(80, marks=pytest.mark.slow), 120])
def test_too_little_memory_is_an_error_of_its_own(tmp_path: Path, spare: int) -> None:
    """MiB of address space left, for weights of 32 MiB: parser and builder run out in turn."""
    weight = np.random.default_rng(0).normal(size=(2048, 4096)).astype(np.float32)
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="product")
    x, y = ("x", TensorProto.FLOAT, (1, 2048)), ("y", TensorProto.FLOAT, (1, 4096))
    model = typed.save(tmp_path / "model.onnx", [node], [x], [y], {"w": weight})
    assert build_limited(model, tmp_path / "engine", "memory", spare << 20) == "out-of-memory"
    assert not list((tmp_path / "engine").iterdir())
