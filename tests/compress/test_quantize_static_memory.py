"""quantize-static: what calibration holds does not grow with the number of samples."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgetool.context import PassContext
from edgetool.runner import Feeds, Runner
from edgetool_onnxruntime.reference import open_onnx
from edgetool_passes.quantization.calibrators import Calibrator, new_watch
from edgetool_passes.quantization.histogram import BINS, ChannelMeans, ChannelPeaks, Watch
from edgetool_passes.quantize_static import QuantizeStatic, QuantizeStaticOptions
from tests.compress.quantize_networks import mobile_block

SIDE = 96


class Stream:
    """Samples that are made when they are asked for, as those of a folder are read."""

    digest = "0" * 64

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
        chance = np.random.default_rng(0)
        for _ in range(self.count):
            yield {"image": chance.normal(size=(1, 3, SIDE, SIDE)).astype(np.float32)}


class Copied(Runner):
    """A runner whose results numpy allocates, so that tracemalloc sees them."""

    def __init__(self, path: Path) -> None:
        self._inner = open_onnx(path, 1)
        self.signature = self._inner.signature

    def infer(self, feeds: Feeds) -> dict[str, np.ndarray[Any, Any]]:
        return {name: array.copy() for name, array in self._inner.infer(feeds).items()}

    def close(self) -> None:
        self._inner.close()


def _peak(folder: Path, count: int, calibrator: Calibrator) -> int:
    """Bytes that numpy and Python held at most while the pass worked; activations of a sample take 3 MB."""
    work = folder / f"{calibrator}{count}"
    work.mkdir(parents=True)
    model = mobile_block(work)
    subject = QuantizeStatic(QuantizeStaticOptions(calibrator=calibrator, equalization=0.5))
    (work / "out").mkdir()
    context = PassContext(threads=1, open_reference=Copied, calibration=Stream(count))
    tracemalloc.start()
    try:
        subject.apply(model, work / "out", context)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("calibrator", ["min-max", "entropy"])
def test_peak_memory_does_not_depend_on_the_number_of_samples(tmp_path: Path, calibrator: Calibrator) -> None:
    """Twenty times the samples, 60 MB of activations more: not one more megabyte is held."""
    _peak(tmp_path / "warm", 1, calibrator)  # imports stay
    few, many = _peak(tmp_path, 2, calibrator), _peak(tmp_path, 40, calibrator)
    assert few > 1 << 20, "the activations of one sample are seen by tracemalloc"
    assert many < few + (1 << 20)


@pytest.mark.parametrize("watch", [new_watch("mse"), new_watch("min-max"), ChannelMeans(), ChannelPeaks()])
def test_a_watch_is_a_few_kilobytes_after_any_number_of_samples(watch: Watch) -> None:
    chance = np.random.default_rng(0)
    sizes = []
    for count in (1, 200):
        for _ in range(count):
            watch.see(chance.normal(size=(1, 16, 32, 32)).astype(np.float32))
        sizes.append(_size(watch))
    assert sizes[0] == sizes[1] <= BINS * 8 + 4096


def _size(thing: object) -> int:
    """Bytes of an object with the arrays and objects that it holds."""
    if isinstance(thing, np.ndarray):
        return int(thing.nbytes)
    held = vars(thing).values() if hasattr(thing, "__dict__") else ()
    return sys.getsizeof(0.0) + sum(_size(part) for part in held)
