"""In which order the units of a group are best removed, and what each removal costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool_passes.pruning.groups import Dependencies, Group

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Curve:
    """The way down for one group.

    Attributes:
        group: it.
        order: its units, the least important first.
        costs: float64, one a unit in this order: what its removal adds to the loss, as a share of the whole; shares of
            different groups compare.
    """

    group: Group
    order: tuple[int, ...]
    costs: Array


def by_norm(dependencies: Dependencies, group: Group, power: int) -> Curve:
    """Share of the group's weights, in the L1 (`power` 1) or squared L2 norm, added up over its layers."""
    import numpy as np

    def score(values: Array) -> Array:
        return np.asarray((np.abs(values.reshape(len(values), -1)) ** power).sum(axis=1))

    return _by_share(dependencies, group, [(layer.weight, layer.outputs) for layer in group.layers], score)


def by_batch_norm(dependencies: Dependencies, group: Group) -> Curve | None:
    """Share of the squared BatchNormalization scales; None for a group that has none.

    After Z. Liu et al., "Learning Efficient Convolutional Networks through Network Slimming" (2017).
    """
    units = set(group.units)
    norms = [
        (name, 0) for name in dependencies.trace.norms if not units.isdisjoint(dependencies.units_of(name, 0).tolist())
    ]
    return _by_share(dependencies, group, norms, lambda values: values.astype(float) ** 2) if norms else None


def _by_share(
    dependencies: Dependencies, group: Group, tensors: Sequence[tuple[str, int]], score: Callable[[Array], Array]
) -> Curve:
    import numpy as np

    shares = dict.fromkeys(group.units, 0.0)
    for tensor, axis in tensors:
        values = np.moveaxis(dependencies.trace.index.values(tensor).astype(np.float64), axis, 0)
        scores = score(values)
        total = scores.sum() or 1.0
        for unit, one in zip(dependencies.units_of(tensor, axis).tolist(), (scores / total).tolist(), strict=True):
            if unit in shares:
                shares[unit] += one
    order = sorted(shares, key=lambda unit: (shares[unit], unit))
    return Curve(group, tuple(order), np.array([shares[unit] for unit in order]))
