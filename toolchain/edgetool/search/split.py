"""Which samples a recipe is chosen by, and which it is judged by: never the same ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

FEW = 50
"""With fewer samples, halves would be too small: then each is chosen by and judged by, but never both at once."""

FOLDS = 5
_BLOCKS = 20
"""Neighbours are often of one recording, photo or speaker, and files often lie sorted by class: so that both halves get
some of every class and share few recordings, samples are dealt out in runs, this many in all."""


@dataclass(frozen=True, slots=True)
class Split:
    """The samples in parts, and what each part is for.

    Attributes:
        kind: `halves`: chosen by one part and judged by the other. `folds`: cross-validation.
        parts: positions of samples among those taken; disjoint, all of them together.
        total: how many samples there are; more than are taken where the number was limited.
    """

    kind: Literal["halves", "folds"]
    parts: tuple[tuple[int, ...], ...]
    total: int

    @property
    def taken(self) -> int:
        return sum(map(len, self.parts))

    @property
    def groups(self) -> Mapping[str, tuple[int, ...]]:
        """Name -> the parts that are looked at together."""
        if self.kind == "halves":
            return {"chosen-by": (0,), "judged-by": (1,)}
        places = range(len(self.parts))
        return {
            "chosen-by": tuple(places),
            **{f"without-{place}": tuple(other for other in places if other != place) for place in places},
            **{f"only-{place}": (place,) for place in places},
        }

    @property
    def rounds(self) -> tuple[tuple[str, str], ...]:
        """(group to choose by, group to judge by) of each round."""
        if self.kind == "halves":
            return (("chosen-by", "judged-by"),)
        return tuple((f"without-{place}", f"only-{place}") for place in range(len(self.parts)))

    def size(self, group: str) -> int:
        """How many samples a group has."""
        return sum(len(self.parts[place]) for place in self.groups[group])

    def __str__(self) -> str:
        taken = f"{self.taken} samples" if self.taken == self.total else f"{self.taken} of {self.total} samples"
        if self.kind == "halves":
            return f"{taken}: chosen by {len(self.parts[0])}, judged by the other {len(self.parts[1])}"
        return f"{taken}: cross-validated in {len(self.parts)} folds, because {FEW} would be needed for two halves"

    def to_json(self) -> dict[str, object]:
        return {"kind": self.kind, "parts": [len(part) for part in self.parts], "taken": self.taken,
                "total": self.total}  # fmt: skip


def split(total: int, *, limit: int) -> Split:
    """Deal samples out.

    Args:
        total: how many there are, two at least.
        limit: take at most so many, spread evenly over all.
    """
    taken = min(total, limit)
    places = [number * total // taken for number in range(taken)]
    if taken >= FEW:
        return Split("halves", _dealt(places, 2), total)
    return Split("folds", _dealt(places, min(FOLDS, taken)), total)


def _dealt(places: Sequence[int], parts: int) -> tuple[tuple[int, ...], ...]:
    """Runs of neighbours in turns to every part."""
    length = max(1, len(places) // max(_BLOCKS, parts))
    dealt: list[list[int]] = [[] for _ in range(parts)]
    for number, place in enumerate(places):
        dealt[number // length % parts].append(place)
    return tuple(map(tuple, dealt))
