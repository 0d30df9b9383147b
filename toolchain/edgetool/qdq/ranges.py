"""Calibrated ranges of activations, carried in the model's metadata from the pass that measured them to a backend.

`metadata_props["edgetool.activation_ranges"]` is JSON: `{"tensor": [low, high], ...}`, sorted by name, six significant
digits. It holds the tensors that a backend may have to quantize in addition, so that its runtime can fuse.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgetool.errors import ModelError

if TYPE_CHECKING:
    import onnx

RANGES_KEY = "edgetool.activation_ranges"


@dataclass(frozen=True, slots=True)
class Range:
    """What a tensor's values are clipped to; contains zero."""

    low: float
    high: float

    @property
    def magnitude(self) -> float:
        """The largest absolute value."""
        return max(-self.low, self.high)


def write_ranges(model: onnx.ModelProto, ranges: Mapping[str, Range]) -> None:
    """Record ranges, in place of those that were recorded before."""
    for entry in [entry for entry in model.metadata_props if entry.key == RANGES_KEY]:
        model.metadata_props.remove(entry)
    rows = {name: [_short(ranges[name].low), _short(ranges[name].high)] for name in sorted(ranges)}
    model.metadata_props.add(key=RANGES_KEY, value=json.dumps(rows, separators=(",", ":")))


def read_ranges(model: onnx.ModelProto) -> dict[str, Range]:
    """The recorded ranges; empty when the model carries none.

    Raises:
        ModelError: `damaged-ranges`, when the entry is not what `write_ranges` writes.
    """
    text = next((entry.value for entry in model.metadata_props if entry.key == RANGES_KEY), "{}")
    try:
        return {name: _range(*row) for name, row in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelError(
            "damaged-ranges",
            f"the metadata entry {RANGES_KEY!r} cannot be read: {error}",
            hint="run `quantize-static` again; nothing else should write this entry",
        ) from error


def _range(low: float, high: float) -> Range:
    if not low <= 0 <= high:
        raise ValueError(f"a range must contain zero, got [{low}, {high}]")
    return Range(float(low), float(high))


def _short(value: float) -> float:
    return float(f"{value:.6g}")
