"""Trained networks on labelled photos and on news items: the accuracy that the documentation promises."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.networks import Network, prepare
from edgetool.context import PassContext
from edgetool.graph import read_model
from edgetool_onnxruntime.lowering import lower, unfused_nodes
from edgetool_onnxruntime.reference import open_onnx
from edgetool_passes.quantize_dynamic import QuantizeDynamic
from edgetool_passes.quantize_static import QuantizeStatic
from tests.quantize.conftest import Array, Feed, cosine

pytestmark = [pytest.mark.network, pytest.mark.slow]


@dataclass(frozen=True)
class Calibration:
    network: Network
    batch: int
    count: int
    digest: str = "0" * 64

    def __iter__(self) -> Iterator[Feed]:
        feeds = self.network.feeds(self.network.calibration, batch=self.batch)
        return (one for _, one in zip(range(self.count), feeds, strict=False))


def _lowered(kind: Any, network: Network, folder: Path, *, batch: int, count: int) -> Path:
    context = PassContext(
        threads=2, open_reference=lambda path: open_onnx(path, 2), calibration=Calibration(network, batch, count)
    )
    typed = kind(kind.Options()).apply(read_model(network.path), folder, context).model.path
    lowered = folder / "lowered.onnx"
    assert lower(typed, lowered, uint8_activations=True)
    assert unfused_nodes(lowered) == ()
    return lowered


def _outputs(path: Path, network: Network, data: Path, *, batch: int) -> Array:
    with open_onnx(path, 2) as runner:
        return np.concatenate([next(iter(runner.infer(feeds).values())) for feeds in network.feeds(data, batch=batch)])


@pytest.mark.parametrize(
    ("name", "float_top1", "largest_drop", "least_agreement"),
    [("mobilenet_v2", 0.875, 0.07, 0.75), ("efficientnet_lite0", 0.885, 0.02, 0.85)],
)
def test_photos(tmp_path: Path, name: str, float_top1: float, largest_drop: float, least_agreement: float) -> None:
    """Top-1 on 200 views of 20 photos, and how often int8 agrees with float on 100 other crops."""
    network = prepare(name)
    lowered = _lowered(QuantizeStatic, network, tmp_path, batch=10, count=10)
    top1 = {
        path: float((_outputs(path, network, network.evaluation, batch=10).argmax(1) == network.labels()).mean())
        for path in (network.path, lowered)
    }
    assert top1[network.path] == pytest.approx(float_top1, abs=0.01)
    assert top1[lowered] >= top1[network.path] - largest_drop
    crops = network.path.with_name("agreement.npz")
    expected, actual = (_outputs(path, network, crops, batch=10).argmax(1) for path in (network.path, lowered))
    assert (expected == actual).mean() >= least_agreement


@pytest.mark.parametrize(("kind", "least"), [(QuantizeStatic, 0.995), (QuantizeDynamic, 0.98)])
def test_sentences(tmp_path: Path, kind: Any, least: float) -> None:
    """The worst cosine of 50 embeddings to those of the float network."""
    network = prepare("minilm")
    lowered = _lowered(kind, network, tmp_path, batch=8, count=8)
    expected, actual = (_outputs(path, network, network.evaluation, batch=10) for path in (network.path, lowered))
    assert cosine(expected, actual) >= least
