"""What tests of the DLA's lowering read and write."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgetool.errors import ModelError
from edgetool.qdq.ranges import Range, write_ranges
from edgetool_onnxruntime.reference import open_onnx
from edgetool_tensorrt.dla import Lowered, lower
from edgetool_tensorrt.version import Version

Array = np.ndarray[Any, Any]
ORIN = Version.parse("10.3.0.30")


def scales_of(lowered: Lowered) -> dict[str, float]:
    """The cache, read as TensorRT reads it: the scale stands behind the last colon."""
    assert lowered.calibration is not None
    _, *lines = lowered.calibration.read_text().splitlines()
    rows = (line.rsplit(": ", 1) for line in lines)
    return {name: struct.unpack(">f", bytes.fromhex(digits))[0] for name, digits in rows}


def counts(lowered: Lowered) -> dict[str, int]:
    return {row.name: row.count for row in lowered.lowerings}


def infer(path: Path, feeds: Mapping[str, Array]) -> dict[str, Array]:
    with open_onnx(path, 1) as runner:
        return dict(runner.infer(feeds))


def refused(source: Path, folder: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        lower(source, folder, ORIN)
    return caught.value


def with_ranges(path: Path, **ranges: Range) -> Path:
    model = onnx.load(path)
    write_ranges(model, ranges)
    onnx.save(model, path)
    return path
