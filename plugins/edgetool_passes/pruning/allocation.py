"""How many units every group gives up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from edgetool_passes.pruning.curve import Curve
from edgetool_passes.pruning.groups import Dependencies
from edgetool_passes.pruning.work import Work

Scope: TypeAlias = Literal["macs", "channels", "layer"]

_STEPS = 48
"""A group is walked down in so many steps at most."""


@dataclass(frozen=True, kw_only=True)
class Guard:
    """What a layer may not fall below.

    Attributes:
        min_channels: output channels that every layer keeps.
        most: share of a layer's channels that may go.
        multiple: layers that lose channels keep a multiple of this.
    """

    min_channels: int
    most: float
    multiple: int


def allowed(dependencies: Dependencies, curve: Curve, guard: Guard) -> list[int]:
    """Numbers of units, ascending from 0, that may go from the front of the curve."""
    import numpy as np

    rank = {unit: number for number, unit in enumerate(curve.order, start=1)}
    fits = np.ones(len(curve.order) + 1, bool)
    for layer in curve.group.layers:
        units = dependencies.output_units(layer)
        lost = np.cumsum(np.bincount([rank[unit] for unit in units.tolist() if unit in rank], minlength=len(fits)))
        left = len(units) - lost
        floor = max(min(guard.min_channels, len(units)), len(units) * (1 - guard.most), 1)
        fits &= (lost == 0) | ((left >= floor - 1e-9) & (left % guard.multiple == 0))
    fits[0] = True
    return [int(count) for count in np.flatnonzero(fits)]


def allocate(
    dependencies: Dependencies, curves: Sequence[Curve], work: Work, guard: Guard, *, scope: Scope, amount: float
) -> set[int]:
    """The units to remove.

    `layer`: `amount` of the units of each group. `channels`: `amount` of all units, where the next one costs the least.
    `macs`: until `amount` of the multiply-accumulates is saved, where the next one costs the least for what it saves.

    Args:
        dependencies: of the model.
        curves: of all groups.
        work: of the untouched model; counted down.
        guard: what no layer may fall below.
        scope: see above.
        amount: a share, above 0 and below 1.
    """
    steps = [allowed(dependencies, curve, guard) for curve in curves]
    if scope == "layer":
        taken = [
            max(count for count in counts if count <= amount * len(curve.order) + 1e-9)
            for curve, counts in zip(curves, steps, strict=True)
        ]
        return {unit for curve, count in zip(curves, taken, strict=True) for unit in curve.order[:count]}
    descents = [
        _Descent(curve, _thinned(counts), work, per_mac=scope == "macs")
        for curve, counts in zip(curves, steps, strict=True)
    ]
    units = sum(len(curve.order) for curve in curves)
    removed: set[int] = set()
    while not _reached(work, len(removed), units, scope=scope, amount=amount):
        open_ones = [descent for descent in descents if descent.next_units]
        if not open_ones:
            break
        cheapest = min(open_ones, key=lambda descent: descent.price)
        taken_now = cheapest.next_units
        work.remove(taken_now)
        removed.update(taken_now)
        cheapest.advance()
    return removed


def _thinned(counts: Sequence[int]) -> list[int]:
    """At most `_STEPS` of them, the last included."""
    stride = -(-len(counts) // _STEPS)
    return [*counts[:-1:stride], counts[-1]]


def _reached(work: Work, removed: int, units: int, *, scope: Scope, amount: float) -> bool:
    if scope == "channels":
        return removed >= amount * units
    return work.left <= (1 - amount) * work.total


class _Descent:
    """One group on its way down."""

    def __init__(self, curve: Curve, counts: Sequence[int], work: Work, *, per_mac: bool) -> None:
        self._curve = curve
        self._counts = counts
        self._work = work
        self._per_mac = per_mac
        self._at = 0

    @property
    def next_units(self) -> tuple[int, ...]:
        """What goes with the next step; empty at the end."""
        if self._at + 1 >= len(self._counts):
            return ()
        return self._curve.order[self._counts[self._at] : self._counts[self._at + 1]]

    @property
    def price(self) -> float:
        """Cost of the next step by what it brings: multiply-accumulates saved, or units."""
        start, stop = self._counts[self._at : self._at + 2]
        cost = float(self._curve.costs[start:stop].sum())
        gain = self._work.saving(self.next_units) if self._per_mac else stop - start
        return cost / gain if gain > 0 else float("inf")

    def advance(self) -> None:
        self._at += 1
