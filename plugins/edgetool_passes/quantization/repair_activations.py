"""Repairs the grids of activations: symmetric int8 in place of asymmetric and unsigned ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool.qdq.editor import GraphEditor
from edgetool.qdq.index import GraphIndex
from edgetool.qdq.pairs import ActivationPair, Grid, activation_pairs, requantize
from edgetool.qdq.sign import nonnegative_tensors

if TYPE_CHECKING:
    import numpy as np
    import onnx

_EIGHT_BITS = ("int8", "uint8")


@dataclass(frozen=True, slots=True)
class Activations:
    """What was changed, by the float tensors that are quantized.

    Attributes:
        exact: the integers were shifted, and mean the same.
        widened: tensor -> how many times wider the steps are, so that the whole range is still covered.
        rectified: tensors that a node clips now, where the end of the range did.
    """

    exact: tuple[str, ...]
    widened: Mapping[str, float]
    rectified: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reach:
    """The smallest and the largest value that a grid can express."""

    low: float
    high: float

    @classmethod
    def of(cls, pair: ActivationPair) -> Reach:
        import numpy as np

        limits = np.iinfo(pair.zero_point.dtype)
        zero = int(pair.zero_point)
        return cls((limits.min - zero) * pair.scale, (limits.max - zero) * pair.scale)


def center_activations(graph: onnx.GraphProto, *, both_ends: bool) -> Activations:
    """Give every 8-bit pair on an activation a symmetric int8 grid.

    Where the old zero point lies in the middle (128 in uint8) the grid only changes its name. Elsewhere the new one
    covers the old range, `scale = max(-low, high) / 127`, with wider steps. Quantizing had clipped at the ends of the
    old range, and some tools remove a Relu or Clip because of that: the new grid reaches beyond the nearer end, so a
    Relu is put in front of it where that end is zero, unless the tensor cannot be negative anyway.

    Args:
        graph: edited in place.
        both_ends: put a Clip in front of every grid that reaches further than before.
    """
    index = GraphIndex(graph)
    editor = GraphEditor(graph)
    nonnegative = nonnegative_tensors(graph)
    exact: list[str] = []
    rectified: list[str] = []
    widened: dict[str, float] = {}
    for pair in activation_pairs(graph):
        if pair.zero_point.dtype.name not in _EIGHT_BITS or pair.is_symmetric_int8:
            continue
        scale = pair.scale
        dtype = _scale_type(pair, index)
        if pair.zero_point.dtype.name == "uint8" and int(pair.zero_point) == 128:
            exact.append(pair.tensor)
        else:
            reach = Reach.of(pair)
            scale = max(-reach.low, reach.high) / 127
            widened[pair.tensor] = round(scale / pair.scale, 4)
            if _clip(editor, pair, reach, dtype, nonnegative=pair.tensor in nonnegative, both_ends=both_ends):
                rectified.append(pair.tensor)
        requantize(editor, pair, _grid(editor, pair, scale, dtype))
    editor.commit()
    return Activations(tuple(exact), widened, tuple(rectified))


def _scale_type(pair: ActivationPair, index: GraphIndex) -> np.dtype[Any]:
    """The type that the tensor is computed in; a pair's scale is constant."""
    scale = index.constant(pair.quantize.input[1])
    if scale is None:
        raise ValueError(f"the scale of {pair.tensor!r} is computed")
    found: np.dtype[Any] = scale.dtype
    return found


def _grid(editor: GraphEditor, pair: ActivationPair, scale: float, dtype: np.dtype[Any]) -> Grid:
    """A symmetric int8 grid, its scale in the type that the tensor is computed in."""
    import numpy as np

    return Grid(
        editor.constant(np.array(scale, dtype), f"{pair.tensor}_scale"),
        editor.constant(np.array(0, np.int8), f"{pair.tensor}_zero_point"),
        scale,
    )


def _clip(
    editor: GraphEditor, pair: ActivationPair, reach: Reach, dtype: np.dtype[Any], *, nonnegative: bool, both_ends: bool
) -> bool:
    """Keep the clipping that the old range did, as far as it is wanted; whether a node had to be put in for that."""
    import numpy as np

    if reach.low == 0 and nonnegative:
        return False
    if reach.low == 0:
        clipped = editor.node("Relu", (pair.tensor,), f"{pair.tensor}_rectified")
    elif both_ends or reach.high == 0:
        bounds = [
            editor.constant(np.array(bound, dtype), f"{pair.tensor}_{name}")
            for name, bound in (("low", reach.low), ("high", reach.high))
        ]
        clipped = editor.node("Clip", (pair.tensor, *bounds), f"{pair.tensor}_clipped")
    else:
        return False
    editor.redirect(pair.quantize, 0, clipped)
    return True
