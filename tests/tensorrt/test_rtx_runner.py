"""Running RTX engines: refused without the card, and compared with ONNX Runtime where there is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgetool.context import BuildContext
from edgetool.errors import DeviceError
from edgetool.signature import Point
from edgetool.testing import MakeModel, feeds_for, tiny_cnn, tiny_int8_cnn, tiny_mlp, tiny_text
from edgetool_tensorrt.options import TensorRtOptions
from edgetool_tensorrt.rtx.cards import find_cards
from edgetool_tensorrt.rtx.runner import open_engine, read_evidence
from tests.tensorrt.rtx import build_rtx

pytest.importorskip("tensorrt_rtx")

CONTEXT = BuildContext(threads=1)
_POINTS: tuple[Point, ...] = ("min", "opt", "max")


def test_without_the_card_the_device_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    engine = build_rtx(tiny_mlp(tmp_path), tmp_path / "engine", capabilities=[86, 89])
    with pytest.raises(DeviceError) as raised:
        open_engine(engine, TensorRtOptions(), CONTEXT)
    assert raised.value.code == "no-gpu"
    assert raised.value.message == "the engine is for compute capability 86 or 89; here is no NVIDIA GPU"
    assert "edgetool validate" in (raised.value.hint or "")


@pytest.mark.gpu
@pytest.mark.parametrize("make", [tiny_mlp, tiny_cnn, tiny_int8_cnn, tiny_text], ids=lambda make: make.__name__)
def test_computes_what_onnxruntime_computes(tmp_path: Path, make: MakeModel) -> None:
    from edgetool_onnxruntime.reference import open_onnx

    model = make(tmp_path)
    engine = build_rtx(model, tmp_path / "engine", sm=find_cards()[0].sm)
    with open_onnx(model.path, 1) as reference, open_engine(engine, TensorRtOptions(), CONTEXT) as runner:
        for point in _POINTS:
            feeds = feeds_for(model.signature, point)
            expected, actual = reference.infer(feeds), runner.infer(feeds)
            for name, values in expected.items():
                np.testing.assert_allclose(actual[name], values, rtol=0.05, atol=0.05)
        assert runner.conditions()


@pytest.mark.gpu
def test_kernels_are_kept_for_the_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGETOOL_CACHE_DIR", str(tmp_path / "cache"))
    model = tiny_cnn(tmp_path)
    engine = build_rtx(model, tmp_path / "engine", sm=find_cards()[0].sm)
    for _ in range(2):
        with open_engine(engine, TensorRtOptions(), CONTEXT) as runner:
            runner.infer(feeds_for(model.signature))
    assert len(list((tmp_path / "cache").rglob("*.bin"))) == 1
    assert [path.name for path in engine.directory.iterdir()] == [engine.entry]


@pytest.mark.gpu
def test_evidence_comes_from_the_card(tmp_path: Path) -> None:
    engine = build_rtx(tiny_int8_cnn(tmp_path), tmp_path / "engine", sm=find_cards()[0].sm)
    evidence = read_evidence(engine, TensorRtOptions(), CONTEXT)
    assert {node.device for node in evidence.nodes} == {"GPU"}
