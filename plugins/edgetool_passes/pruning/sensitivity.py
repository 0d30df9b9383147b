"""How much of an error of one layer arrives at the outputs, found out by disturbing that layer alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from edgetool.runner import Feeds
from edgetool_passes.pruning.elimination import error_energy
from edgetool_passes.pruning.layer import Layer
from edgetool_passes.pruning.moments import Moments
from edgetool_passes.pruning.observation import Observation, Tap
from edgetool_passes.pruning.parts import part_that_computes

if TYPE_CHECKING:
    import numpy as np
    import onnx

    Array = np.ndarray[Any, Any]

_FEEDS = 4
"""Feeds to look at for each layer, at most."""
_NOISE = 0.5
"""Size of the disturbance, as a share of each weight; one factor for all that an input channel is multiplied by."""
_FLOAT = 1  # onnx.TensorProto.FLOAT


class Sensitivity:
    """Of the outputs to errors of layers.

    Args:
        model: float32; not modified.
        observation: the samples.
    """

    def __init__(self, model: onnx.ModelProto, observation: Observation) -> None:
        self._outputs = tuple(value.name for value in model.graph.output if value.type.tensor_type.elem_type == _FLOAT)
        self._part = part_that_computes(model, self._outputs)
        self._observation = observation
        self._expected: list[Feeds] = []
        self._run(self._expected.append)

    def price(self, layer: Layer, moments: Moments) -> float:
        """What a unit of squared error of the result costs: a share of the outputs, or of what the result becomes.

        The larger share counts. Outputs alone would call late layers of classifiers unimportant on samples of few
        classes; the layer's own surroundings alone know nothing of what is still to come.
        """
        import numpy as np
        from onnx import numpy_helper

        stored = next(tensor for tensor in self._part.graph.initializer if tensor.name == layer.weight)
        before = numpy_helper.to_array(stored)
        change = before * _by_input(layer, np.random.default_rng(0).normal(0, _NOISE, before.shape[layer.inputs or 0]))
        local, variance = error_energy(layer, change, moments), moments.result_variance
        nearby = 1 / variance if variance > 0 else 0.0
        if local <= 0:
            return nearby
        stored.CopyFrom(numpy_helper.from_array((before + change).astype(before.dtype), layer.weight))
        seen: list[Feeds] = []
        self._run(seen.append)
        stored.CopyFrom(numpy_helper.from_array(before, layer.weight))
        return max(nearby, sum(self._relative_error(name, seen) for name in self._outputs) / local)

    def _run(self, keep: Callable[[Feeds], None]) -> None:
        def see(values: Sequence[Feeds]) -> None:
            keep(values[0])

        tap = Tap(self._part, self._outputs)
        self._observation.look([tap], see, purpose="samples to see how errors spread", feeds=_FEEDS)

    def _relative_error(self, name: str, seen: Sequence[Feeds]) -> float:
        import numpy as np

        error = variance = 0.0
        for actual, expected in zip(seen, self._expected, strict=True):
            wanted = expected[name].astype(np.float64)
            error += float(np.square(actual[name] - wanted).sum())
            variance += float(np.square(wanted - wanted.mean()).sum())
        return error / variance if variance > 0 else 0.0


def _by_input(layer: Layer, factors: Array) -> Array:
    """One factor an input channel, in the shape of the weight: errors as removed channels make them.

    Errors that differ between outputs would cancel each other further on.
    """
    shape = [1] * len(layer.shape)
    shape[layer.inputs or 0] = len(factors)
    return factors.reshape(shape)
