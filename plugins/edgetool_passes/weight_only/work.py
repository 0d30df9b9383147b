"""Quantizes all weights of a graph by one method, and by rounding to the nearest where the method has no say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from edgetool_passes.weight_only.awq import channel_factors
from edgetool_passes.weight_only.codes import nearest
from edgetool_passes.weight_only.gptq import Compensation
from edgetool_passes.weight_only.grain import Method
from edgetool_passes.weight_only.hqq import half_quadratic
from edgetool_passes.weight_only.moments import Inputs, SecondMoments, in_groups
from edgetool_passes.weight_only.rewrite import Rewriter
from edgetool_passes.weight_only.storage import Spool
from edgetool_passes.weight_only.weights import Weight
from edgetool_passes.weight_only.whole import Loss, Rounder, quantize, release

if TYPE_CHECKING:
    import numpy as np

    from edgetool_passes.quantization.histogram import Watch

    Array = np.ndarray[Any, Any]

ShowSamples: TypeAlias = "Callable[[Mapping[str, Watch]], None]"
"""Runs the float model on all samples and shows the named tensors to their watches."""


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one weight.

    Attributes:
        weight: it; its float numbers are no longer needed.
        method: that chose its integers.
        loss: what that cost.
        bytes_before, bytes_after: stored bytes; those after include scales and zero points.
    """

    weight: Weight
    method: Method
    loss: Loss
    bytes_before: int
    bytes_after: int


class Work:
    """One walk over the weights of a graph.

    Args:
        weights: all that are to be quantized.
        rewriter: of their graph.
        spool: takes the integers.
        progress: is told how many weights are done.
        where: the model's file, for messages.
    """

    def __init__(
        self,
        weights: Sequence[Weight],
        rewriter: Rewriter,
        spool: Spool,
        progress: Callable[[int], None],
        *,
        where: str,
    ) -> None:
        self.done: list[Done] = []
        self._weights = weights
        self._rewriter = rewriter
        self._spool = spool
        self._progress = progress
        self._where = where

    def without_data(self, method: Method) -> None:
        """Quantize every weight by itself."""
        for weight in self._weights:
            self._finish(weight, method, half_quadratic if method == "hqq" else nearest)

    def with_gptq(self, show: ShowSamples) -> None:
        """Quantize by GPTQ what is multiplied by plain vectors, and round the rest."""
        for _, weights, moments in self._learnt(show):
            compensation = Compensation(moments)
            for weight in weights:
                self._finish(weight, "gptq", compensation.quantize)
        self._round_rest()

    def with_awq(self, show: ShowSamples) -> None:
        """Enlarge by AWQ what is multiplied by plain vectors, where that helps, and round everything."""
        for inputs, weights, moments in self._learnt(show):
            factor = channel_factors([(_matrix(weight), weight.grain) for weight in weights], moments)
            if factor is None:
                continue
            self._rewriter.divide([site for weight in weights for site in weight.sites], factor, axis=inputs.axis)
            for weight in weights:
                self._finish(weight, "awq", nearest, factor=factor)
        self._round_rest()

    def _learnt(self, show: ShowSamples) -> Iterator[tuple[Inputs, Sequence[Weight], Array]]:
        """The vectors that weights are multiplied by, those weights, and the vectors' second moments."""
        for group in in_groups(self._weights):
            watches = {inputs.tensor: SecondMoments(inputs.channels, axis=inputs.axis) for inputs in group}
            show(watches)
            for inputs, weights in group.items():
                yield inputs, weights, watches.pop(inputs.tensor).values

    def _round_rest(self) -> None:
        finished = {id(done.weight) for done in self.done}
        for weight in self._weights:
            if id(weight) not in finished:
                self._finish(weight, "nearest", nearest)

    def _finish(self, weight: Weight, method: Method, rounder: Rounder, *, factor: Array | None = None) -> None:
        before = weight.tensor.nbytes
        where = f"{self._where}: {weight.name}"
        quantized, loss = quantize(weight.tensor.numpy(), weight.layout, rounder, factor=factor, where=where)
        stored = self._spool.store(quantized, weight.name)
        release(weight.tensor)
        self._rewriter.replace(weight, stored)
        self.done.append(Done(weight, method, loss, before, stored.nbytes))
        self._progress(len(self.done))


def _matrix(weight: Weight) -> Array:
    return weight.layout.matrix(weight.tensor.numpy(), slice(None))
