"""Known bad pairs of TensorRT and chip end a build of the networks concerned, with the fix, and no other build."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgetool.backends import Site, Support
from edgetool.signature import DimRange
from edgetool.testing.models import tiny_cnn, tiny_int8_cnn
from edgetool_tensorrt.check import verdict
from edgetool_tensorrt.options import TensorRtOptions
from edgetool_tensorrt.version import Version
from tests.tensorrt.test_knowledge import facts_of

ORIN = "@nvidia/jetson-orin-nano-8gb"
ORIN_WITH_DLA = "@nvidia/jetson-orin-nx-16gb"


def judged(
    folder: Path, board: str, *, int8: bool, tensorrt: str | None = None, dla_core: int | None = None
) -> Support:
    facts = facts_of(board, folder)
    model = (tiny_int8_cnn if int8 else tiny_cnn)(folder)
    model = replace(model, signature=replace(model.signature, dims={"batch": DimRange(1, 1, 1)}))
    version = Version.parse(tensorrt or facts["tensorrt"])
    site = Site(facts={**facts, "tensorrt": str(version)})
    return verdict(model, TensorRtOptions(dla_core=dla_core), site, kind="kit", version=version)


def refusals(support: Support) -> list[str]:
    return [f"{row.reason} {row.fix}" for row in support.problems if row.severity == "refuse"]


def test_int8_with_the_tensorrt_of_jetpack_6_is_refused_with_the_fix(tmp_path: Path) -> None:
    (refusal,) = refusals(judged(tmp_path, ORIN, int8=True))
    assert "TensorRT 10.3" in refusal
    assert "install TensorRT 10.7" in refusal
    assert "float16" in refusal
    assert "ultralytics/ultralytics#24368" in refusal


@pytest.mark.parametrize(
    ("board", "int8", "tensorrt"),
    [(ORIN, True, "10.7.0.23"), (ORIN, False, None), (f"{ORIN}-jetpack7", True, None),
     ("@nvidia/jetson-agx-thor", True, None)],
)  # fmt: skip
def test_other_pairs_are_not(tmp_path: Path, board: str, int8: bool, tensorrt: str | None) -> None:
    assert refusals(judged(tmp_path, board, int8=int8, tensorrt=tensorrt)) == []


def test_int8_where_no_instruction_computes_it(tmp_path: Path) -> None:
    assert any("no int8 instructions" in row for row in refusals(judged(tmp_path, "@nvidia/jetson-nano", int8=True)))


def test_a_release_without_dla(tmp_path: Path) -> None:
    found = refusals(judged(tmp_path, ORIN_WITH_DLA, int8=False, tensorrt="10.16.2", dla_core=0))
    assert any("10.7 is the last 10.x" in row for row in found)


def test_int8_on_the_dla_that_lacks_scales_is_refused_before_it_is_built(tmp_path: Path) -> None:
    """The tiny network carries no recorded ranges."""
    found = refusals(judged(tmp_path, ORIN_WITH_DLA, int8=True, dla_core=0))
    assert any("these have none: 'c2', 'r2'" in row for row in found)
    later = refusals(judged(tmp_path, ORIN_WITH_DLA, int8=True, tensorrt="11.4.1", dla_core=0))
    assert not any("these have none" in row for row in later)
