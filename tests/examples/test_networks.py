"""Every example prepared and evaluated in float, without edgetool's own importers: the figures its README promises."""

from __future__ import annotations

import hashlib
import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgetool.config.load import load
from edgetool.config.schema import ModelTable
from tests.examples.conftest import ROOT

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.timeout(600)]

FLOAT_METRIC = {
    "digits": (0.994, 0.01),
    "efficientnet_lite0": (0.885, 0.006),
    "japanese_vowels": (0.981, 0.015),
    "magika": (0.9734, 0.004),
    "minilm": (0.6564, 0.0005),
    "mobilenetv2": (0.875, 0.006),
    "ppocr": (1.0, 0.02),
    "resemblyzer": (0.948, 0.003),
    "silero": (0.966, 0.003),
}
"""Expected, and how far off it may be: trained ones vary with the machine, the others by a rounding at most."""

Feeds = dict[str, Any]


@pytest.fixture
def prepared(example: Path) -> Path:
    result = _prepare(example)
    assert result.returncode == 0, result.stderr
    return example


@pytest.fixture
def data(prepared: Path) -> Any:
    return importlib.import_module(f"examples.{prepared.name}.data")


def test_preparing_again_changes_nothing(prepared: Path) -> None:
    def state() -> dict[Path, int]:
        made = [*prepared.glob("data/*"), *prepared.glob("models/*")]
        return {path: path.stat().st_mtime_ns for path in made}

    before = state()
    assert before
    _prepare(prepared)
    assert state() == before


def test_samples_are_the_same_every_time_and_calibration_has_none_of_the_evaluation(data: Any) -> None:
    calibration = [_digest(feeds) for feeds in data.calibration()]
    evaluation = [_digest(feeds) for feeds, _ in data.evaluation()]

    assert calibration == [_digest(feeds) for feeds in data.calibration()]
    assert evaluation == [_digest(feeds) for feeds, _ in data.evaluation()]
    assert not _rows(feeds for feeds in data.calibration()) & _rows(feeds for feeds, _ in data.evaluation())


def test_samples_fit_the_declared_shapes(prepared: Path, data: Any) -> None:
    model = _model(prepared)
    for feeds in [*data.calibration(), *(feeds for feeds, _ in data.evaluation())]:
        for name, table in model.inputs.items():
            array = feeds[name]
            assert str(array.dtype) == table.dtype
            for size, dim in zip(array.shape, table.shape, strict=True):
                low, high = (dim, dim) if isinstance(dim, int) else (model.dims[dim].min, model.dims[dim].max)
                assert low <= size <= high, (name, array.shape)


def test_the_float_metric_is_the_one_that_the_readme_promises(prepared: Path, data: Any) -> None:
    model = _model(prepared)
    samples = list(data.evaluation())
    infer = _torch(prepared, model) if ":" in str(model.source) else _onnx(prepared / str(model.source))
    measured = _metric(prepared, data)([infer(feeds) for feeds, _ in samples], [label for _, label in samples])

    expected, tolerance = FLOAT_METRIC[prepared.name]
    assert measured == pytest.approx(expected, abs=tolerance)
    assert f"{expected:.3f}" in (prepared / "README.md").read_text()


def _prepare(example: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"examples.{example.name}.prepare"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def _model(example: Path) -> ModelTable:
    model = load(example / "targets.toml").model
    assert model is not None
    return model


def _torch(example: Path, model: ModelTable) -> Callable[[Feeds], Feeds]:
    import torch
    from safetensors.torch import load_file

    net = importlib.import_module(f"examples.{example.name}.net").build()
    weights = example / str(model.weights)
    state = load_file(weights) if weights.suffix == ".safetensors" else torch.load(weights, weights_only=True)
    net.load_state_dict(state)
    net.eval()

    def infer(feeds: Feeds) -> Feeds:
        with torch.no_grad():
            output = net(**{name: torch.from_numpy(array.copy()) for name, array in feeds.items()})
        return {model.outputs[0]: output.numpy()}

    return infer


def _onnx(path: Path) -> Callable[[Feeds], Feeds]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    return lambda feeds: dict(zip(names, session.run(names, feeds), strict=True))


def _metric(example: Path, data: Any) -> Callable[[list[Feeds], list[Any]], float]:
    from edgetool.validate.metrics import open_metric

    spec = load(example / "targets.toml").data.metric
    assert spec is not None
    return data.metric if spec == "data:metric" else open_metric(spec, root=example).evaluate  # type: ignore[no-any-return]


def _digest(feeds: Feeds) -> str:
    total = hashlib.sha256()
    for name in sorted(feeds):
        total.update(f"{name} {feeds[name].dtype} {feeds[name].shape}".encode() + feeds[name].tobytes())
    return total.hexdigest()


def _rows(samples: Any) -> set[bytes]:
    """Of the largest input, each entry of the first axis by itself: batches may be cut differently."""
    return {row.tobytes() for feeds in samples for row in max(feeds.values(), key=lambda array: array.nbytes)}
