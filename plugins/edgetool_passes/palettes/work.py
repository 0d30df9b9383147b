"""Gives every weight of a graph its palettes, some of them with the help of samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool.errors import ModelError
from edgetool_passes.palettes.clustered import Clustered, groups_of, nearest
from edgetool_passes.palettes.compensation import compensated
from edgetool_passes.palettes.wishes import Wishes
from edgetool_passes.weight_only.gptq import Compensation
from edgetool_passes.weight_only.moments import SecondMoments, in_groups
from edgetool_passes.weight_only.weights import Weight
from edgetool_passes.weight_only.whole import release

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir

    from edgetool_passes.weight_only.work import ShowSamples

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one weight.

    Attributes:
        name: of the weight.
        values: how many it has.
        different: how many different ones its palettes have together.
        bits: of an index, coded by how often it occurs; the mean over all that are not zero.
        zeros: exact ones.
        error: root mean square of the change, as a share of the weight's own.
        compensated: errors were made good on samples.
    """

    name: str
    values: int
    different: int
    bits: float
    zeros: int
    error: float
    compensated: bool


class Work:
    """One walk over weights.

    Args:
        candidates: initializers that get palettes.
        wishes: how each of them does.
        progress: is told how many weights are done.
        where: the model's file, for messages.
    """

    def __init__(
        self,
        candidates: Sequence[ir.Value],
        wishes: Callable[[ir.Value], Wishes],
        progress: Callable[[int], None],
        *,
        where: str,
    ) -> None:
        self.done: list[Done] = []
        self._waiting = dict.fromkeys(candidates)
        self._wishes = wishes
        self._progress = progress
        self._where = where

    def with_samples(self, weights: Sequence[Weight], show: ShowSamples) -> None:
        """Cluster, for what they are multiplied by, the weights that are multiplied by plain vectors.

        Args:
            weights: with their nodes; those that are no candidates are passed over.
            show: runs the model on all samples.
        """
        wanted = [weight for weight in weights if weight.value in self._waiting]
        for weight, factor in _learnt(wanted, show):
            numbers = self._numbers(weight.value)
            groups = groups_of(numbers, self._wishes(weight.value))
            self._finish(weight.value, numbers, compensated(numbers, groups, weight.layout, factor), is_fitted=True)

    def rest(self) -> None:
        """Cluster all that are left, every number by itself."""
        for value in list(self._waiting):
            numbers = self._numbers(value)
            self._finish(value, numbers, nearest(numbers, groups_of(numbers, self._wishes(value))), is_fitted=False)

    def _numbers(self, value: ir.Value) -> Array:
        import numpy as np

        assert value.const_value is not None  # only initializers are candidates
        numbers: Array = value.const_value.numpy()
        if not np.isfinite(numbers).all():
            raise ModelError(
                "non-finite-weight",
                "a weight holds NaN or infinity",
                where=f"{self._where}: {value.name}",
                hint="the training diverged or the export went wrong: export a healthy checkpoint",
            )
        return numbers

    def _finish(self, value: ir.Value, numbers: Array, clustered: Clustered, *, is_fitted: bool) -> None:
        tensor = value.const_value
        assert tensor is not None
        self.done.append(_account(value.name or "", numbers, clustered, is_fitted=is_fitted))
        release(tensor)
        value.const_value = _lazy(clustered, tensor)
        del self._waiting[value]
        self._progress(len(self.done))


def _learnt(weights: Sequence[Weight], show: ShowSamples) -> Iterator[tuple[Weight, Array]]:
    """Weights with the factor that says how an error in one column is made good by the others."""
    for group in in_groups(weights):
        watches = {inputs.tensor: SecondMoments(inputs.channels, axis=inputs.axis) for inputs in group}
        show(watches)
        for inputs, readers in group.items():
            factor = Compensation(watches.pop(inputs.tensor).values).factor
            for weight in readers:
                yield weight, factor


def _account(name: str, numbers: Array, clustered: Clustered, *, is_fitted: bool) -> Done:
    import numpy as np

    off = np.subtract(clustered.values(), numbers, dtype=np.float32).reshape(-1)
    flat = numbers.astype(np.float32, copy=False).reshape(-1)
    power = float(np.vdot(flat, flat))
    zeros = int((flat == 0).sum())
    return Done(
        name=name,
        values=flat.size,
        different=clustered.palette_values,
        bits=clustered.coded_bits() / max(1, flat.size - zeros),
        zeros=zeros,
        error=math.sqrt(float(np.vdot(off, off)) / power) if power > 0 else 0.0,
        compensated=is_fitted,
    )


def _lazy(clustered: Clustered, tensor: ir.TensorProtocol) -> ir.LazyTensor:
    """A tensor that is restored from its indices when it is written."""
    import onnx_ir as ir

    return ir.LazyTensor(
        lambda: ir.tensor(clustered.values(), name=tensor.name),
        tensor.dtype,
        ir.Shape(clustered.indices.shape),
        name=tensor.name,
    )
