"""Trained networks through our recipes: float16 and int8, for every GPU that TensorRT-RTX serves."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from benchmarks.rtx_networks import Network, build, networks, typed
from edgetool.graph import files

pytestmark = [pytest.mark.network, pytest.mark.slow]

pytest.importorskip("tensorrt_rtx")

NAMES = ("mobilenet_v2", "resnet18", "minilm", "ppocr")
CAPABILITIES = {
    "float16": (75, 80, 86, 89, 120, 121),
    "int8 on float16": (75, 89, 121),
    "int8": (86,),
}
LARGEST = {"float16": 1.6, "int8 on float16": 4.5, "int8": 3.5}
"""Sizes of engine and ONNX: kernels come along, and those for int8 convolutions are large beside MobileNetV2."""


@cache
def network(name: str) -> Network:
    return next(found for found in networks() if found.name == name)


@pytest.mark.parametrize("recipe", CAPABILITIES)
@pytest.mark.parametrize("name", NAMES)
def test_builds_for_every_gpu(tmp_path: Path, name: str, recipe: str) -> None:
    model = typed(network(name), recipe, tmp_path)
    size = sum(path.stat().st_size for path in files(model.path))
    for sm in CAPABILITIES[recipe]:
        found = build(model, tmp_path / str(sm), sm)
        assert found.refusal == ""
        assert found.size is not None and size / 2 < found.size < size * LARGEST[recipe]


@pytest.mark.parametrize("name", NAMES)
def test_int8_with_float32_between_is_refused_for_turing(tmp_path: Path, name: str) -> None:
    found = build(typed(network(name), "int8", tmp_path), tmp_path / "75", 75)
    assert found.refusal.startswith("type-not-on-gpu: compute capability 75 has no float32 GEMM: ")
