"""Models that are larger than what the pass may hold in memory."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from benchmarks.memory import write_project
from benchmarks.weights import stream
from edgetool.graph import read_model
from tests.compress.weight_networks import feeds, quantize, relative_error, run

pytestmark = pytest.mark.slow


def test_memory_does_not_grow_with_the_model(tmp_path: Path) -> None:
    """An eighth of the model is more than it takes; how fast it is, a benchmark says."""
    done = stream(2300 << 20, tmp_path)  # beyond what one file can hold: smaller ones are read whole
    assert done.peak < 300_000_000


def test_large_results_lie_beside_the_model(tmp_path: Path) -> None:
    write_project(tmp_path, size=1300 << 20, backend="onnxruntime", recipe="float")
    model = read_model(tmp_path / "model.onnx")
    applied = quantize(model, tmp_path / "out", block_size=128)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["model.onnx", "model.onnx.data"]
    onnx.checker.check_model(str(applied.result.model.path), full_check=True)
    samples = feeds(model, 1)
    assert relative_error(run(applied.result.model.path, samples), run(model.path, samples)) < 0.05
