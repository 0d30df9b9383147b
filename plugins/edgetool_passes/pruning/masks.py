"""Which single weights go: by magnitude, or by what their inputs make of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgetool_passes.pruning.layer import Layer

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

RUN = 4
"""Weights along the inputs of which 2:4 keeps two."""


def columns_by_position(layer: Layer) -> Array:
    """Columns of the layer's matrix as 2:4 counts them: the input channels of a kernel position in one run."""
    import math

    import numpy as np

    positions = math.prod(layer.shape[2:]) if layer.node.op_type == "Conv" else 1
    return np.arange(layer.width).reshape(-1, positions).T.ravel()


def fits_two_of_four(layer: Layer) -> bool:
    """Whether the number of input channels is a multiple of four."""
    import math

    positions = math.prod(layer.shape[2:]) if layer.node.op_type == "Conv" else 1
    return layer.width // positions % RUN == 0


def smallest(scores: Array, count: int) -> Array:
    """bool of the same shape: the `count` smallest scores, the first ones among equals."""
    import numpy as np

    mask = np.zeros(scores.size, bool)
    mask[np.argsort(scores, axis=None, kind="stable")[:count]] = True
    return mask.reshape(scores.shape)


def smallest_by_row(scores: Array, count: int) -> Array:
    """bool of the same shape: the `count` smallest of each row (last axis)."""
    import numpy as np

    mask = np.zeros(scores.shape, bool)
    np.put_along_axis(mask, np.argsort(scores, axis=-1, kind="stable")[..., :count], values=True, axis=-1)
    return mask


def two_of_four(scores: Array) -> Array:
    """bool of the same shape: the two smallest of every four neighbours along the last axis."""
    runs = scores.reshape(*scores.shape[:-1], -1, RUN)
    return smallest_by_row(runs, RUN // 2).reshape(scores.shape)


def shares(weights: Mapping[Layer, Array], *, sparsity: float, everywhere: bool) -> dict[Layer, float]:
    """The share of zeros that each layer gets.

    Args:
        weights: of each layer.
        sparsity: the share in all.
        everywhere: the same share for each layer; else the layers that miss their small weights least give more, by
            the score of J. Lee et al., "Layer-adaptive Sparsity for the Magnitude-based Pruning" (2021): a squared
            weight as a share of all squared weights of its layer that are not smaller.
    """
    import numpy as np

    if everywhere:
        return dict.fromkeys(weights, sparsity)
    scores = {layer: _adaptive(values) for layer, values in weights.items()}
    everything = np.sort(np.concatenate(list(scores.values())))
    threshold = everything[min(int(sparsity * everything.size), everything.size - 1)]
    return {layer: float((these < threshold).mean()) for layer, these in scores.items()}


def _adaptive(values: Array) -> Array:
    import numpy as np

    squares = np.sort(values.astype(np.float64).ravel() ** 2)
    remaining = np.cumsum(squares[::-1])[::-1]
    return squares / np.maximum(remaining, np.finfo(np.float64).tiny)


def count_zeros(arrays: Sequence[Array]) -> int:
    import numpy as np

    return sum(int(values.size - np.count_nonzero(values)) for values in arrays)
