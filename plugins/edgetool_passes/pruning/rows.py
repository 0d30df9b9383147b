"""The rows that a layer multiplies by its matrix, taken out of what the network computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool_passes.pruning.layer import Layer

if TYPE_CHECKING:
    import numpy as np
    import onnx

    Array = np.ndarray[Any, Any]

MOST_ROWS = 2048
"""Of one feed: neighbouring positions of a picture say much the same."""


@dataclass(frozen=True)
class _Window:
    """How a convolution moves over space; one entry for each spatial axis."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]


def input_rows(layer: Layer, data: Array) -> Array:
    """float [groups, rows, width]: what `layer.matrix` multiplies, at evenly spread positions.

    Args:
        layer: Conv, Gemm or MatMul.
        data: its first input; the number of channels may be smaller than the layer's.
    """
    if layer.node.op_type != "Conv":
        return _spread(data.reshape(-1, data.shape[-1]))[None]
    windows = _windows(layer, data)
    batch, _, *space = windows.shape[: windows.ndim // 2 + 1]
    rows = _at(windows, _positions((batch, *space)))
    grouped = rows.reshape(len(rows), layer.groups, -1)
    return grouped.transpose(1, 0, 2)


def output_rows(layer: Layer, data: Array) -> Array:
    """float [rows, outputs]: a result of the layer's shape, at the positions of `input_rows`."""
    if layer.node.op_type != "Conv":
        return _spread(data.reshape(-1, data.shape[-1]))
    return _at(data, _positions((data.shape[0], *data.shape[2:])))


def _at(data: Array, positions: tuple[Array, ...]) -> Array:
    """All channels at these places of the batch and of space: [rows, channels, ...]."""
    batch, *space = positions
    key: tuple[Any, ...] = (batch, slice(None), *space)
    rows: Array = data[key]
    return rows


def _spread(rows: Array) -> Array:
    return rows[_evenly(len(rows))]


def _positions(shape: tuple[int, ...]) -> tuple[Array, ...]:
    import math

    import numpy as np

    return np.unravel_index(_evenly(math.prod(shape)), shape)


def _evenly(count: int) -> Array:
    import numpy as np

    return np.arange(count) if count <= MOST_ROWS else np.linspace(0, count - 1, MOST_ROWS).astype(np.int64)


def _windows(layer: Layer, data: Array) -> Array:
    """A view [batch, channels, *positions, *kernel] of the padded input."""
    import numpy as np

    window = _window(layer, data.shape[2:])
    padded = np.pad(data, ((0, 0), (0, 0), *window.pads))
    spans = [(size - 1) * step + 1 for size, step in zip(window.kernel, window.dilations, strict=True)]
    view = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=tuple(range(2, data.ndim)))
    everything = (slice(None),) * 2
    return view[
        (
            *everything,
            *(slice(None, None, s) for s in window.strides),
            *(slice(None, None, d) for d in window.dilations),
        )
    ]


def _window(layer: Layer, space: tuple[int, ...]) -> _Window:
    given = {entry.name: entry for entry in layer.node.attribute}
    kernel, rank = layer.shape[2:], len(space)

    def integers(name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(given[name].ints) if name in given and given[name].ints else default

    strides, dilations = integers("strides", (1,) * rank), integers("dilations", (1,) * rank)
    pads = integers("pads", (0,) * (2 * rank))
    around = tuple(zip(pads[:rank], pads[rank:], strict=True))
    automatic = given["auto_pad"].s.decode() if "auto_pad" in given else "NOTSET"
    if automatic.startswith("SAME"):
        around = tuple(
            _same(size, k, s, d, upper=automatic == "SAME_UPPER")
            for size, k, s, d in zip(space, kernel, strides, dilations, strict=True)
        )
    return _Window(kernel, strides, dilations, around)


def _same(size: int, kernel: int, stride: int, dilation: int, *, upper: bool) -> tuple[int, int]:
    """Padding for which the result has ceil(size / stride) positions."""
    total = max(0, (-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size)
    small, large = total // 2, total - total // 2
    return (small, large) if upper else (large, small)


def adds_bias(node: onnx.NodeProto) -> bool:
    """Whether a bias can be part of the node."""
    return node.op_type in ("Conv", "Gemm")
