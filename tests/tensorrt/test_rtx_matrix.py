"""Which number formats TensorRT-RTX builds for which GPU: measured, not believed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from edgetool.artifact import Model
from edgetool.backends import BuildContext, Site
from edgetool.errors import ModelError
from edgetool_tensorrt.backend import TensorRt
from edgetool_tensorrt.rtx.capability import OFFERED
from tests.tensorrt import typed_models as typed
from tests.tensorrt.rtx import build_rtx

pytest.importorskip("tensorrt_rtx")

Make = Callable[[Path, str], Model]

_ALL = OFFERED
_AMPERE = (80, 86, 89, 120, 121)
_ADA = (89, 120, 121)
_BLACKWELL = (120, 121)

BUILDS: Mapping[tuple[Make, str], tuple[int, ...]] = {
    (typed.convolution, "float32"): _ALL,
    (typed.product, "float32"): _AMPERE,
    (typed.int8, "float32"): _AMPERE,
    (typed.int8_weights, "float32"): _AMPERE,
    (typed.convolution, "float16"): _ALL,
    (typed.product, "float16"): _ALL,
    (typed.int8, "float16"): _ALL,
    (typed.int8_weights, "float16"): _ALL,
    (typed.int4_blocks, "float16"): _AMPERE,
    (typed.float8, "float16"): _ADA,
    (typed.float4_blocks, "float16"): _BLACKWELL,
    (typed.product, "bfloat16"): _AMPERE,
    (typed.convolution, "bfloat16"): _AMPERE,
}
"""A typed model, its float type, and the capabilities it builds for."""

PRECISIONS: Mapping[Make, str] = {
    typed.int8: "int8",
    typed.int8_weights: "mixed",
    typed.int4_blocks: "mixed",
    typed.float8: "mixed",
    typed.float4_blocks: "mixed",
}

_LIKE_A_NEIGHBOUR = (80, 121)
"""No format tells 80 from 86, or 121 from 120: the slow tests build these."""

each = [pytest.param(sm, marks=pytest.mark.slow if sm in _LIKE_A_NEIGHBOUR else ()) for sm in OFFERED]
rows = pytest.mark.parametrize(("make", "base"), BUILDS, ids=lambda value: getattr(value, "__name__", value))


@rows
@pytest.mark.parametrize("sm", each)
def test_builds_or_says_what_the_gpu_lacks(tmp_path: Path, make: Make, base: str, sm: int) -> None:
    model = make(tmp_path, base)
    if sm in BUILDS[make, base]:
        engine = build_rtx(model, tmp_path / "engine", sm=sm)
        assert engine.precision == PRECISIONS.get(make, base)
        assert engine.facts["capabilities"] == [sm]
    else:
        with pytest.raises(ModelError) as raised:
            build_rtx(model, tmp_path / "engine", sm=sm)
        assert raised.value.code == "type-not-on-gpu"
        assert f"compute capability {sm}" in raised.value.message
        assert "CUDA" not in str(raised.value)
        assert not list((tmp_path / "engine").iterdir())


@rows
def test_one_engine_serves_its_weakest_member(tmp_path: Path, make: Make, base: str) -> None:
    model = make(tmp_path, base)
    if BUILDS[make, base] == OFFERED:
        engine = build_rtx(model, tmp_path / "engine", capabilities=[121, 75, 86])
        assert engine.facts["capabilities"] == [75, 86, 121]
    else:
        with pytest.raises(ModelError, match="compute capability 75"):
            build_rtx(model, tmp_path / "engine", capabilities=[121, 75, 86])


@rows
@pytest.mark.parametrize("sm", OFFERED)
def test_the_static_check_says_the_same(tmp_path: Path, make: Make, base: str, sm: int) -> None:
    """What `edgetool check` foretells without building is what the builder then does."""
    backend = TensorRt(TensorRt.Options(), Site(builder="rtx", facts={"sm": sm}))
    verdict = backend.supports(make(tmp_path, base), BuildContext(threads=1))
    assert verdict.accepted == (sm in BUILDS[make, base]), [str(problem) for problem in verdict.problems]
