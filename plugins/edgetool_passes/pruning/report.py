"""What pruning did, in numbers."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING

from edgetool.artifact import JsonValue
from edgetool_passes.pruning.groups import Dependencies

if TYPE_CHECKING:
    import onnx


def channels_by_group(dependencies: Dependencies, removed: Collection[int]) -> list[JsonValue]:
    """Every group that lost something: its layers, and the output channels of the first before and after."""
    import numpy as np

    gone = np.array(sorted(removed))
    rows: list[JsonValue] = []
    for group in dependencies.groups:
        units = dependencies.output_units(group.layers[0])
        left = int((~np.isin(units, gone)).sum())
        if left < len(units):
            labels: list[JsonValue] = [layer.label for layer in group.layers]
            rows.append({"layers": labels, "from": len(units), "to": left})
    return rows


def parameters(model: onnx.ModelProto) -> int:
    """Numbers in float initializers."""
    return sum(math.prod(tensor.dims) for tensor in model.graph.initializer if tensor.data_type in (1, 10, 11))
