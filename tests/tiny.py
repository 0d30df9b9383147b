"""A small convolutional network with samples, for the tests that build it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgetool.testing.models import tiny_cnn


def write_tiny_project(folder: Path, targets: str, *, calibration: int, evaluation: int) -> None:
    """Write `model.onnx`, `targets.toml`, and so many samples into `calib/` and `eval/`."""
    tiny_cnn(folder).path.rename(folder / "model.onnx")
    generator = np.random.default_rng(0)
    for name, count in (("calib", calibration), ("eval", evaluation)):
        (folder / name).mkdir()
        for index in range(count):
            np.savez(folder / name / f"{index:02}.npz", x=generator.normal(size=(1, 3, 8, 8)).astype("float32"))
    (folder / "targets.toml").write_text(targets)
