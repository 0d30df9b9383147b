"""Which blocks a network misses least, measured on the user's samples.

* By angle: how far a block turns the vectors of the stream, `arccos(cos(x, y)) / π`, averaged over all vectors; after
  A. Gromov et al., "The Unreasonable Ineffectiveness of the Deeper Layers" (2024), and X. Men et al., "ShortGPT: Layers
  in Large Language Models are More Redundant Than You Expect" (2024). One run over the samples.
* By output: how much the network's results change without the block, `|y' - y|² / |y|²`; the block that changes them
  least goes, then the next is looked for in what is left. One run over the samples for each block that goes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgetool_passes.blocks.removal import bridge, gaps
from edgetool_passes.blocks.stacks import Block
from edgetool_passes.quantization.calibration import Calibration
from edgetool_passes.side_by_side import side_by_side
from edgetool_passes.together import together
from edgetool_passes.vectors import vectors

if TYPE_CHECKING:
    import numpy as np
    import onnx

    Array = np.ndarray[Any, Any]

_FLOAT = 1  # onnx.TensorProto.FLOAT


def float_outputs(graph: onnx.GraphProto) -> tuple[str, ...]:
    """The outputs that can be compared."""
    return tuple(value.name for value in graph.output if value.type.tensor_type.elem_type == _FLOAT)


def angles(model: onnx.ModelProto, blocks: Sequence[Block], calibration: Calibration) -> dict[int, float]:
    """Block -> the mean angle by which it turns the stream: 0 not at all, 1 around."""
    import numpy as np

    turned = dict.fromkeys((block.number for block in blocks), 0.0)
    count = dict.fromkeys(turned, 0)

    def see(values: Mapping[str, Array]) -> None:
        for block in blocks:
            x, y = (vectors(values[name], first=block.channels_first) for name in (block.start, block.end))
            lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
            cosine = (x * y).sum(axis=1) / np.maximum(lengths, 1e-30)
            turned[block.number] += float(np.arccos(np.clip(cosine, -1, 1)).sum()) / np.pi
            count[block.number] += len(x)

    names = [name for block in blocks for name in (block.start, block.end)]
    calibration.run(model, together(names, see), purpose="samples for the angles of blocks")
    return {number: total / max(count[number], 1) for number, total in turned.items()}


def least_missed(
    model: onnx.ModelProto, blocks: Sequence[Block], candidates: Collection[int], count: int, calibration: Calibration
) -> dict[int, float]:
    """The blocks to remove, in this order -> how much the results have changed once each is gone, too."""
    chosen: dict[int, float] = {}
    while len(chosen) < count:
        left = [number for number in sorted(candidates) if number not in chosen]
        changes = _changes(model, blocks, [frozenset((*chosen, number)) for number in left], calibration)
        best = min(range(len(left)), key=changes.__getitem__)
        chosen[left[best]] = changes[best]
    return chosen


def _changes(
    model: onnx.ModelProto, blocks: Sequence[Block], removals: Sequence[frozenset[int]], calibration: Calibration
) -> list[float]:
    """How much the results change with each of these removals."""
    outputs = float_outputs(model.graph)
    variants = {f"removal{place}/": removed for place, removed in enumerate(removals)}
    squares, changes = dict.fromkeys(outputs, 0.0), {prefix: dict.fromkeys(outputs, 0.0) for prefix in variants}

    def see(values: Mapping[str, Array]) -> None:
        for name in outputs:
            squares[name] += _square(values[name])
            for prefix, change in changes.items():
                change[name] += _square(values[prefix + name] - values[name])

    joined = side_by_side(model, {prefix: _without(model, blocks, removed) for prefix, removed in variants.items()})
    names = [prefix + name for prefix in ("", *variants) for name in outputs]
    calibration.run(joined, together(names, see), purpose="samples for the importance of blocks")
    return [sum(change[name] / max(squares[name], 1e-30) for name in outputs) for change in changes.values()]


def _without(model: onnx.ModelProto, blocks: Sequence[Block], removed: frozenset[int]) -> onnx.ModelProto:
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for gap in gaps(blocks, removed):
        bridge(copy.graph, gap)
    return copy


def _square(values: Array) -> float:
    import numpy as np

    return float(np.square(values, dtype=np.float64).sum())
