"""Removes input channels of layers one after the other, while the others make up for them as well as they can.

This is the Optimal Brain Surgeon (B. Hassibi and D. Stork, 1993) on the error of the following layers, for whole
channels as in E. Kurtic et al., "ZipLM: Inference-Aware Structured Pruning of Language Models" (2023). With
`H = E[x xᵀ]` of a layer's input and `W` its weight, removing the columns `S` and letting all others adapt costs
`tr(W_S (H⁻¹_SS)⁻¹ W_Sᵀ)` of the mean squared output; the weights and `H⁻¹` are updated before the next choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgetool_passes.pruning.curve import Curve
from edgetool_passes.pruning.groups import Dependencies, Group
from edgetool_passes.pruning.layer import Layer
from edgetool_passes.pruning.moments import Moments
from edgetool_passes.pruning.rows import adds_bias

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_DAMPING = 1e-3
"""Of the mean diagonal of a second moment, added to its diagonal, so that it can be inverted."""
_STEPS = 48
"""Looks at all that is left; between two of them several units go at once in a large group."""


def by_elimination(
    dependencies: Dependencies, group: Group, moments: Mapping[Layer, Moments], prices: Mapping[Layer, float]
) -> Curve:
    """The order in which units are removed, with the growth of the outputs' relative squared error.

    Args:
        dependencies: of the model.
        group: what to order.
        moments: of its readers.
        prices: of an error of each reader, see `Sensitivity.price`.
    """
    import numpy as np

    readers = [_Reader(dependencies, layer, moments[layer], prices[layer], group.units) for layer in group.readers]
    left = list(group.units)
    at_once = max(1, len(left) // _STEPS)
    order: list[int] = []
    costs: list[float] = []
    while left:
        scores = np.zeros(len(left))
        for reader in readers:
            scores += reader.scores(left)
        chosen = np.argsort(scores, kind="stable")[:at_once].tolist()
        gone = [left[number] for number in chosen]
        order += gone
        costs += scores[chosen].tolist()
        for reader in readers:
            reader.eliminate(gone)
        left = [unit for unit in left if unit not in gone]
    return Curve(group, tuple(order), np.maximum.accumulate(np.array(costs)))


def by_activation(
    dependencies: Dependencies, group: Group, moments: Mapping[Layer, Moments], prices: Mapping[Layer, float]
) -> Curve:
    """What each unit alone makes of the following layers' squared results, the others left as they are."""
    import numpy as np

    shares = np.zeros(len(group.units))
    for layer in group.readers:
        weight = layer.matrix(dependencies.trace.index.values(layer.weight))[0].astype(np.float64)
        second = moments[layer].second[0]
        for number, (_, columns) in enumerate(_columns(dependencies, layer, group.units)):
            part = _energy(weight[:, columns], second[np.ix_(columns, columns)])
            shares[number] += part * prices[layer]
    places = np.argsort(shares, kind="stable")
    return Curve(group, tuple(group.units[place] for place in places), shares[places])


def _columns(dependencies: Dependencies, layer: Layer, units: Sequence[int]) -> Iterator[tuple[int, Array]]:
    """The columns of a layer's matrix that each unit feeds."""
    import numpy as np

    of_inputs = dependencies.input_units(layer)
    order = np.argsort(of_inputs, kind="stable")
    sorted_units = of_inputs[order]
    for unit in units:
        start, stop = np.searchsorted(sorted_units, (unit, unit + 1))
        yield unit, layer.columns(order[start:stop])


class _Reader:
    """One following layer while its input channels vanish."""

    def __init__(
        self, dependencies: Dependencies, layer: Layer, moments: Moments, price: float, units: Sequence[int]
    ) -> None:
        import numpy as np

        self._weight: Array = layer.matrix(dependencies.trace.index.values(layer.weight))[0].astype(np.float64)
        seen = _matter(layer, moments)
        trusted = _trusted(seen, moments.independent)
        everything = _energy(self._weight, trusted)
        self._price = price * _energy(self._weight, seen) / everything if everything > 0 else price
        self._inverse: Array = np.linalg.inv(trusted)
        self._columns = {unit: columns for unit, columns in _columns(dependencies, layer, units) if len(columns)}

    def scores(self, units: Sequence[int]) -> Array:
        """What the removal of each would cost, float64 [units]."""
        import numpy as np

        found = np.zeros(len(units))
        by_size: dict[int, list[int]] = {}
        for number, unit in enumerate(units):
            if unit in self._columns:
                by_size.setdefault(len(self._columns[unit]), []).append(number)
        for numbers in by_size.values():
            columns = np.stack([self._columns[units[number]] for number in numbers])
            blocks = self._inverse[columns[:, :, None], columns[:, None, :]]
            weights = self._weight[:, columns].transpose(1, 2, 0)
            solved = np.linalg.solve(blocks, weights)
            found[numbers] = np.einsum("uko,uko->u", weights, solved) * self._price
        return found

    def eliminate(self, units: Sequence[int]) -> None:
        """Remove the columns of these units and update all others."""
        import numpy as np

        mine = [self._columns[unit] for unit in units if unit in self._columns]
        if not mine:
            return
        columns = np.concatenate(mine)
        rows = self._inverse[columns]
        solved = np.linalg.solve(self._inverse[np.ix_(columns, columns)], rows)
        self._weight -= self._weight[:, columns] @ solved
        self._inverse -= rows.T @ solved
        self._weight[:, columns] = 0


def error_energy(layer: Layer, change: Array, moments: Moments) -> float:
    """Mean squared change of the layer's result when its weight changes; constant shifts a bias makes up for."""
    return _energy(layer.matrix(change)[0], _matter(layer, moments))


def _matter(layer: Layer, moments: Moments) -> Array:
    """What the inputs vary by, where a bias takes care of their means; else their second moments."""
    found: Array = moments.covariance[0] if adds_bias(layer.node) else moments.second[0]
    return found


def _energy(weight: Array, second: Array) -> float:
    """Mean squared output."""
    return float(((weight @ second) * weight).sum())


def _trusted(second: Array, independent: float) -> Array:
    """Second moments as far as so many independent rows can be trusted: the fewer, the closer to equal and unrelated.

    Without this, channels would seem to stand in for each other wherever there are fewer rows than channels. The target
    is that of O. Ledoit and M. Wolf, "A well-conditioned estimator for large-dimensional covariance matrices" (2004).
    """
    import numpy as np

    width = len(second)
    doubt = width / (width + independent)
    scale = float(np.trace(second)) / width or 1.0
    return (1 - doubt) * second + (doubt + _DAMPING) * scale * np.eye(width)
