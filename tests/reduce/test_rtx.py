"""What TensorRT-RTX refuses is reduced on a machine without a GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgetool.backends import Site
from edgetool.engine.requests import Plug
from edgetool.testing.models import tiny_cnn
from tests.reduce.reducing import Reduced

pytest.importorskip("tensorrt_rtx")


def _rtx(sm: int) -> Plug:
    return Plug("edgetool_tensorrt.backend:TensorRt", {}, Site("rtx", facts={"sm": sm}))


def test_an_operator_that_the_parser_lacks(reduce_for: Callable[..., Reduced], det_network: Path) -> None:
    found = reduce_for(_rtx(86), det_network)
    assert found.operators == ["Det"]
    assert found.found.failure.stage == "supports"
    assert found.found.nodes == (21, 1)


def test_a_type_that_the_gpu_lacks(reduce_for: Callable[..., Reduced], tmp_path: Path) -> None:
    """Turing multiplies no float32 matrices, and says nothing against the convolutions before."""
    found = reduce_for(_rtx(75), tiny_cnn(tmp_path).path)
    assert found.operators == ["Gemm"]
    assert found.found.confirmed
