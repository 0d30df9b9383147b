"""Means and second moments of rows, summed over samples: all that least squares needs to know of the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgetool.qdq.index import GraphIndex
from edgetool.runner import Feeds
from edgetool_passes.pruning.ending import ending_of
from edgetool_passes.pruning.layer import Layer
from edgetool_passes.pruning.observation import Observation, Tap
from edgetool_passes.pruning.rows import input_rows

if TYPE_CHECKING:
    import numpy as np
    import onnx

    Array = np.ndarray[Any, Any]

_FLOAT = 1  # onnx.TensorProto.FLOAT: what taps hand out
WIDEST = 6144
"""Rows longer than this are not looked at: their moments alone would take 300 MB."""
_MEMORY = 1 << 29  # bytes of moments to collect in one run over the samples


class Moments:
    """Of the rows that a layer multiplies, and of what its result becomes.

    Attributes:
        count: rows seen.
        samples: of which they are rows.
    """

    def __init__(self, layer: Layer) -> None:
        import numpy as np

        width = layer.width
        self.layer = layer
        self.count = 0
        self.samples = 0
        self._sum: Array = np.zeros((layer.groups, width))
        self._products: Array = np.zeros((layer.groups, width, width))
        self._squared_means = 0.0
        self._results = 0
        self._result_sum: Array = np.zeros(())
        self._result_squares: Array = np.zeros(())

    def see(self, data: Array, result: Array) -> None:
        """Take in one value of the layer's first input, and of where its result ends."""
        import numpy as np

        rows = input_rows(self.layer, data)
        self.count += rows.shape[1]
        self.samples += len(data)
        for own in np.array_split(rows, len(data), axis=1):
            self._squared_means += float(np.square(own.mean(axis=1, dtype=np.float64)).sum())
        self._sum += rows.sum(axis=1, dtype=np.float64)
        self._products += rows.transpose(0, 2, 1) @ rows

        axis = 1 if self.layer.node.op_type == "Conv" else result.ndim - 1
        others = tuple(place for place in range(result.ndim) if place != axis)
        self._results += result.size // result.shape[axis]
        self._result_sum = self._result_sum + result.sum(axis=others, dtype=np.float64)
        self._result_squares = self._result_squares + np.square(result).sum(axis=others, dtype=np.float64)

    @property
    def result_variance(self) -> float:
        """Variance of what the result becomes, added up over channels; in a residual network, of the sum behind it."""
        count = max(self._results, 1)
        return float((self._result_squares / count - (self._result_sum / count) ** 2).sum())

    @property
    def independent(self) -> float:
        """Rows that would tell as much if they were drawn one by one.

        Rows of one sample are alike: with the variance `t` of rows and `b` of samples' means, a sample is worth `t / b`
        of them (the design effect of cluster sampling; L. Kish, "Survey Sampling", 1965).
        """
        import numpy as np

        squared_mean = float(np.square(self.mean).sum())
        total = float(np.einsum("gii->", self.second)) - squared_mean
        between = self._squared_means / max(self.samples, 1) - squared_mean
        return min(self.samples * total / between, self.count) if between > 0 else float(self.samples)

    @property
    def mean(self) -> Array:
        """float64 [groups, width]"""
        return self._sum / max(self.count, 1)

    @property
    def second(self) -> Array:
        """`E[x xᵀ]`, float64 [groups, width, width]"""
        return self._products / max(self.count, 1)

    @property
    def covariance(self) -> Array:
        """float64 [groups, width, width]"""
        import numpy as np

        mean = self.mean
        result: Array = self.second - np.einsum("gi,gj->gij", mean, mean)
        return result


def observable(layer: Layer) -> bool:
    """Whether the moments of a layer's input can be collected."""
    return layer.is_matrix and layer.data_type == _FLOAT and layer.width <= WIDEST


def collect(
    model: onnx.ModelProto, layers: Sequence[Layer], observation: Observation
) -> Iterator[dict[Layer, Moments]]:
    """The moments of the layers' inputs, a bounded part of them at a time.

    Args:
        model: float32.
        layers: `observable` ones; yielded in this order.
        observation: the samples; each part takes one run.
    """
    index = GraphIndex(model.graph)
    ends = {layer: ending_of(index, layer.node).result for layer in layers}
    for part in _parts(layers):
        found = {layer: Moments(layer) for layer in part}

        def see(values: Sequence[Feeds], found: Mapping[Layer, Moments] = found) -> None:
            for layer, moments in found.items():
                moments.see(values[0][layer.node.input[0]], values[0][ends[layer]])

        tensors = tuple(dict.fromkeys(name for layer in part for name in (layer.node.input[0], ends[layer])))
        observation.look([Tap(model, tensors)], see, purpose="samples to see which inputs matter")
        yield found


def _parts(layers: Sequence[Layer]) -> Iterator[list[Layer]]:
    part: list[Layer] = []
    size = 0
    for layer in layers:
        each = 8 * layer.groups * layer.width**2
        if part and size + each > _MEMORY:
            yield part
            part, size = [], 0
        part.append(layer)
        size += each
    if part:
        yield part
