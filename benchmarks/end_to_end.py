"""A whole int8 build of a 1 MB network, against a plain script that only quantizes it with onnxruntime."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.project import write_project
from benchmarks.timing import Command, report, take_turns

_LIMIT = 4.0

_PLAIN = """\
import sys

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static


class Samples(CalibrationDataReader):
    def __init__(self, path):
        self.samples = iter(np.load(path)["x"])

    def get_next(self):
        sample = next(self.samples, None)
        return None if sample is None else {"x": sample[None]}


model, samples, target = sys.argv[1:]
quantize_static(
    model, target, Samples(samples), per_channel=True, activation_type=QuantType.QInt8, weight_type=QuantType.QInt8
)
"""


def main() -> None:
    """Time both; the build imports, proves, simplifies, quantizes, validates, measures and bundles."""
    print("end to end: `edgetool build` of int8 with an empty cache, against onnxruntime's quantize_static in a script")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        targets = write_project(folder)
        plain = folder / "plain.py"
        plain.write_text(_PLAIN)
        cache, dist = folder / "cache", folder / "dist"

        def clear() -> None:
            shutil.rmtree(cache, ignore_errors=True)
            shutil.rmtree(dist, ignore_errors=True)

        build = (sys.executable, "-m", "edgetool", "build", "--file", str(targets), "--target", "int8", "-o", str(dist))
        files = (folder / "model.onnx", folder / "calibration.npz", folder / "plain.onnx")
        commands = (
            Command("quantize_static script", (sys.executable, str(plain), *map(str, files))),
            Command("edgetool build", build, {"EDGETOOL_CACHE_DIR": str(cache)}, before=clear),
        )
        runs = take_turns(commands, rounds=5, log=folder / "log")
        report(runs, against="quantize_static script", limits={"edgetool build": _LIMIT})
