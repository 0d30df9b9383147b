"""Real networks through the passes: the numbers hold, inputs and outputs stay, applying twice changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgetool import graph
from edgetool.graph.opset import convert_opset, opset_of
from edgetool.graph.save import save
from edgetool_passes.cast_fp16 import CastFp16, CastFp16Options
from edgetool_passes.simplify import Simplify, SimplifyOptions
from edgetool_passes.specialize import Specialize, SpecializeOptions
from examples.fetch import Package, fetch
from tests.passes_structural.conftest import Applying, Feed

pytestmark = [pytest.mark.network, pytest.mark.slow]

Run = Callable[[Path, Feed], dict[str, np.ndarray[Any, Any]]]
RANDOM = np.random.default_rng(0)
SILERO = Package("pypi", "silero-vad", "6.2.3")
RAPIDOCR = Package("pypi", "rapidocr", "3.10.0")


def _normal(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return RANDOM.standard_normal(shape, dtype=np.float32)


STREAM = {"input": _normal(1, 576), "state": _normal(2, 1, 128)}
NETWORKS: dict[str, tuple[Package, str, str, Feed]] = {
    "silero sequence": (
        SILERO,
        "silero_vad/data/silero_vad_16k_sequence.onnx",
        "31626c3e1cc89e886c2d5f6b2d63b426b186f7db77c630ceaf7524caf0048100",
        {"input": _normal(5, 576), "h": _normal(1, 1, 128), "c": _normal(1, 1, 128)},
    ),
    "silero with an If": (
        SILERO,
        "silero_vad/data/silero_vad_op18_ifless.onnx",
        "43ebc60e150fb6bec4ef39c106e57a565236a093f44e4a24f4d6e19b64257504",
        {**STREAM, "sr": np.array(16000)},
    ),
    "silero with many Ifs": (
        SILERO,
        "silero_vad/data/silero_vad.onnx",
        "a789446dae19d34f385af41246525bd4299ded9f6859844d6d69beff30158182",
        {**STREAM, "sr": np.array(16000)},
    ),
    "silero static": (
        SILERO,
        "silero_vad/data/silero_vad_openvino_16k.onnx",
        "1401b373234a5b6fb5b49de14c8aa03cbee0784d6c5b5e0a2900d9aec8b242f8",
        STREAM,
    ),
    "text recognition": (
        RAPIDOCR,
        "rapidocr/models/PP-OCRv6_rec_small.onnx",
        "95bfce23ee5fef1f2576504dc1cf1fcaeb0e0958d36e8fa44b913b1983bd7d34",
        {"x": _normal(2, 3, 48, 160)},
    ),
    "text detection": (
        RAPIDOCR,
        "rapidocr/models/PP-OCRv6_det_small.onnx",
        "eefebddd1955bc4b9239ff2a13410dc88f99171a68c4061ac0be317193ee8a71",
        {"x": _normal(1, 3, 96, 128)},
    ),
    "text direction": (
        RAPIDOCR,
        "rapidocr/models/ch_ppocr_mobile_v2.0_cls_mobile.onnx",
        "6173a7b95e1970cfe08a541eb1db28ff58fcb63840439ce210a6bd8983449eef",
        {"x": _normal(2, 3, 48, 192)},
    ),
    "magika": (
        Package("pypi", "magika", "1.0.3"),
        "magika/models/standard_v3_3/model.onnx",
        "73759ab2c6cedb1cf77cf4921860714ab7998739c0c331c6b9820256bce830e4",
        {"bytes": RANDOM.integers(0, 256, (2, 2048)).astype(np.int32)},
    ),
}


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> tuple[Path, Feed]:
    package, name, sha256, feeds = NETWORKS[request.param]
    (path,) = fetch(package, name, sha256=sha256)
    return path, feeds


def _cosine(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    a, b = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-30))


def test_is_sound(network: tuple[Path, Feed]) -> None:
    graph.check(network[0])
    inspection = graph.inspect(network[0])
    assert inspection.parameters > 100_000
    assert inspection.macs.value > 0


def test_simplify(network: tuple[Path, Feed], applying: Applying, run: Run) -> None:
    path, feeds = network
    result = applying(Simplify(SimplifyOptions()), path)
    assert result.changed
    for name, expected in run(path, feeds).items():
        np.testing.assert_allclose(run(result.model.path, feeds)[name], expected, atol=1e-5)
    assert result.model.signature == graph.read_model(path).signature
    assert not applying(Simplify(SimplifyOptions()), result.model).changed


@pytest.mark.parametrize("data", [True, False], ids=["data", "no data"])
def test_cast_fp16(network: tuple[Path, Feed], data: bool, applying: Applying, run: Run) -> None:
    path, feeds = network
    simple = applying(Simplify(SimplifyOptions()), path).model
    result = applying(CastFp16(CastFp16Options()), simple, [feeds] if data else [])
    assert result.model.signature == simple.signature
    for name, expected in run(path, feeds).items():
        assert _cosine(run(result.model.path, feeds)[name], expected) > 0.9999
    assert not applying(CastFp16(CastFp16Options()), result.model, [feeds] if data else []).changed


def test_specialize(network: tuple[Path, Feed], applying: Applying, run: Run) -> None:
    path, feeds = network
    signature = graph.read_model(path).signature
    dims = {
        dim: int(feeds[spec.name].shape[axis])
        for spec in signature.inputs
        for axis, dim in enumerate(spec.shape)
        if isinstance(dim, str)
    }
    scalars = {spec.name: int(feeds[spec.name]) for spec in signature.inputs if not spec.shape}
    if not dims:
        pytest.skip("static already")
    result = applying(Specialize(SpecializeOptions(dims=dims, inputs=scalars)), path)
    assert not result.model.signature.is_dynamic
    assert all(isinstance(dim, int) for spec in result.model.signature.outputs for dim in spec.shape)
    assert result.facts["control_flow_left"] == []
    left = {name: array for name, array in feeds.items() if name not in scalars}
    for name, expected in run(path, feeds).items():
        np.testing.assert_allclose(run(result.model.path, left)[name], expected, atol=1e-5)


@pytest.mark.parametrize("opset", [13, 17, 21])
def test_other_opsets(network: tuple[Path, Feed], opset: int, tmp_path: Path, run: Run) -> None:
    path, feeds = network
    proto = graph.load(path, weights=False)
    if opset_of(proto) == opset:
        pytest.skip("its own opset")
    save(convert_opset(proto, opset, where=path.name), tmp_path / "m.onnx", folder=path.parent)
    graph.check(tmp_path / "m.onnx")
    for name, expected in run(path, feeds).items():
        np.testing.assert_allclose(run(tmp_path / "m.onnx", feeds)[name], expected, atol=1e-5)
