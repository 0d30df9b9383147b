"""Which positions along the axes of tensors have to be removed together, and which must stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


class Coordinates:
    """Numbers for positions, tied into sets (a union-find).

    An axis of a tensor is an integer array with one number a position. Two positions that are tied, directly or
    through others, are one *unit*: they are removed together or not at all. A pinned position keeps its whole unit.
    """

    def __init__(self) -> None:
        self._parents: list[int] = []
        self._pins: list[tuple[Array, str]] = []

    def fresh(self, count: int) -> Array:
        """An axis of `count` new positions, int64 [count]."""
        import numpy as np

        start = len(self._parents)
        self._parents.extend(range(start, start + count))
        return np.arange(start, start + count)

    def tie(self, these: Array, those: Array) -> None:
        """Tie the positions of two equally long axes one by one."""
        for one, other in zip(these.ravel().tolist(), those.ravel().tolist(), strict=True):
            self._join(one, other)

    def tie_together(self, positions: Array) -> None:
        """Make one unit of all these positions."""
        first, *others = positions.ravel().tolist()
        for other in others:
            self._join(first, other)

    def pin(self, positions: Array, reason: str) -> None:
        """Keep these positions, and so their units; of several reasons the first counts."""
        self._pins.append((positions, reason))

    def units(self, positions: Array) -> Array:
        """The unit of each position, int64 of the same shape: the number of one of its members."""
        import numpy as np

        return np.array([self._root(one) for one in positions.ravel().tolist()], np.int64).reshape(positions.shape)

    def pinned(self) -> dict[int, str]:
        """Unit -> why it stays."""
        reasons: dict[int, str] = {}
        for positions, reason in self._pins:
            for unit in self.units(positions).ravel().tolist():
                reasons.setdefault(unit, reason)
        return reasons

    def _root(self, one: int) -> int:
        parents = self._parents
        while parents[one] != one:
            parents[one] = parents[parents[one]]
            one = parents[one]
        return one

    def _join(self, one: int, other: int) -> None:
        first, second = sorted((self._root(one), self._root(other)))
        self._parents[second] = first
