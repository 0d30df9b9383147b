"""Rows about memory: what passes hold while they work, in processes of their own."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from benchmarks.compression.accuracy import load_data
from benchmarks.compression.findings import Check, Finding
from edgetool.runner import Feeds

_LARGE = 8 << 30
_ROOM = 1.4
"""Times the model's size, that its folder takes."""
_FEW, _MANY = 16, 128
_GROWTH = 1.1
"""From few samples to many, that counts as independent: memory of allocators varies so much."""


def streamed(folder: Path) -> list[Finding]:
    """`quantize-weights` of a model of 8 GB."""
    from benchmarks.weights import MEMORY_LIMIT, SPEED_LIMIT, stream

    name = f"quantize-weights, {_LARGE / 1e9:.1f} GB to int8, round-to-nearest, one thread"
    if (free := shutil.disk_usage(folder).free) < _ROOM * _LARGE:
        return [Finding(name, failure=f"{free / 1e9:.0f} GB free under {folder}, {_ROOM * _LARGE / 1e9:.0f} wanted")]
    done = stream(_LARGE, folder)
    speed = done.size / done.cpu
    figures = (
        f"{speed / 1e6:.0f} MB/s of processor time, {done.size / done.wall / 1e6:.0f} MB/s of wall time",
        f"largest resident set {done.peak / 1e6:.0f} MB",
    )
    checks = (
        Check("MB/s of a core", speed / 1e6, SPEED_LIMIT / 1e6),
        Check("MB resident", done.peak / 1e6, MEMORY_LIMIT / 1e6, at_least=False),
    )
    data = {"size": done.size, "cpu": done.cpu, "wall": done.wall, "peak": done.peak}
    return [Finding(name, figures, data, checks)]


def calibrated(folder: Path) -> list[Finding]:
    """`quantize-static` with few samples and with many."""
    from benchmarks.networks import prepare

    model = prepare("mobilenet_v2").path
    peaks = {count: _peak(model, count) for count in (_FEW, _MANY)}
    figures = tuple(f"{count} samples: largest resident set {peak / 1e6:.0f} MB" for count, peak in peaks.items())
    check = Check(
        f"times the memory of {_FEW} samples for {_MANY}", peaks[_MANY] / peaks[_FEW], _GROWTH, at_least=False
    )
    return [Finding("quantize-static, histograms (mse)", figures, {"peaks": peaks}, (check,))]


def _peak(model: Path, count: int) -> int:
    command = [sys.executable, "-m", "benchmarks.compression.limits", str(model), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip()[-500:])
    return int(json.loads(done.stdout.splitlines()[-1]))


@dataclass(frozen=True)
class _Repeated:
    """`count` samples of one photo each; the same twenty again and again, made when they are asked for."""

    feeds: Sequence[Feeds]
    count: int
    digest: str = "0" * 64

    def __iter__(self) -> Iterator[Feeds]:
        return islice(cycle(self.feeds), self.count)


def _calibrate(model: Path, count: int) -> int:
    from edgetool.context import PassContext
    from edgetool.graph import read_model
    from edgetool_onnxruntime.reference import open_onnx
    from edgetool_passes.quantize_static import QuantizeStatic

    data = load_data(Path(__file__).parents[2] / "examples" / "mobilenetv2")
    first, second = islice(data.calibration(), 2)
    images = [*first["image"], *second["image"]]
    samples = _Repeated([{"image": image[None]} for image in images], count)
    context = PassContext(threads=1, open_reference=lambda path: open_onnx(path, 1), calibration=samples)
    with tempfile.TemporaryDirectory() as folder:
        QuantizeStatic(QuantizeStatic.Options()).apply(read_model(model), Path(folder), context)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    print(_calibrate(Path(sys.argv[1]), int(sys.argv[2])))
