"""How many ranks each weight gets: as many as the wanted share of its results takes, or as a budget allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool_passes.factorize.forms import Form
from edgetool_passes.factorize.layers import Layer
from edgetool_passes.factorize.spectrum import Spectrum

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class Cost:
    """What a layer costs.

    Attributes:
        whole: as it is.
        rank: each rank of its factors.
    """

    whole: int
    rank: int


@dataclass(frozen=True, eq=False)
class Candidate:
    """A layer and one way to factor it.

    Attributes:
        layer: it.
        form: the way.
        spectrum: what each rank would lose.
        parameters: its cost.
        macs: its cost; zeros where shapes are unknown.
        step: ranks are multiples of it.
        least: share of parameters and multiply-accumulates that has to be saved.
    """

    layer: Layer
    form: Form
    spectrum: Spectrum
    parameters: Cost
    macs: Cost
    step: int
    least: float

    def ranks(self) -> range:
        """The ranks that save enough; a table cannot save multiply-accumulates, since it has none."""
        limit = self.spectrum.most
        for cost in (self.parameters, self.macs):
            if cost.whole:
                limit = min(limit, int((1 - self.least) * cost.whole / cost.rank))
        return range(self.step, limit + 1, self.step)


@dataclass(frozen=True, slots=True)
class OutOfReach(Exception):  # noqa: N818 - told to the user in other words, with names
    """The budget asks for less than all the smallest ranks cost.

    Attributes:
        least: the cost that can be reached.
    """

    least: int


def by_energy(candidate: Candidate, energy: float) -> int | None:
    """The smallest rank that keeps this share of the results; None where it would not save enough."""
    for rank in candidate.ranks():
        if candidate.spectrum.losses[rank] <= 1 - energy:
            return rank
    return None


def by_budget(candidates: Sequence[Candidate], costs: Mapping[str, Cost], budget: int) -> dict[str, int]:
    """The ranks that lose least together within a budget, by weight; a weight that is missing stays whole.

    What layers leave of their results multiplies from layer to layer, so the sum of `-log(1 - loss)` is to be least.
    Each layer takes the rank with the least `-log(1 - loss) + price cost`, by its own; the price is the lowest that
    keeps the budget (H. Everett, "Generalized Lagrange Multiplier Method", 1963).

    Args:
        candidates: one for each layer.
        costs: by weight.
        budget: what all candidates may cost together.

    Raises:
        OutOfReach: even the smallest ranks cost more.
    """
    import numpy as np

    menus = {candidate.layer.weight: _menu(candidate, costs[candidate.layer.weight]) for candidate in candidates}
    least = sum(int(cost.min()) for _, cost, _ in menus.values())
    if least > budget:
        raise OutOfReach(least)

    def choose(price: float) -> dict[str, int]:
        return {weight: int(np.argmin(loss + price * cost)) for weight, (_, cost, loss) in menus.items()}

    def spent(choice: Mapping[str, int]) -> int:
        return sum(int(menus[weight][1][place]) for weight, place in choice.items())

    low, high = 1e-20, 1e20  # logarithmic halving; at the high end all take the cheapest
    for _ in range(_HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if spent(choose(middle)) <= budget else (middle, high)
    chosen = {weight: int(menus[weight][0][place]) for weight, place in choose(high).items()}
    return {weight: rank for weight, rank in chosen.items() if rank}


def _menu(candidate: Candidate, cost: Cost) -> tuple[Array, Array, Array]:
    """Ranks, costs and losses that a layer can choose from; rank 0 stands for staying whole."""
    import numpy as np

    ranks = np.array([0, *candidate.ranks()])
    costs = np.where(ranks == 0, cost.whole, ranks * cost.rank)
    left = 1 - np.where(ranks == 0, 0.0, candidate.spectrum.losses[ranks])
    losses = -np.log(np.maximum(left, 1e-12))
    return ranks, costs, losses
