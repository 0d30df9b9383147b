"""What a search would have answered at any time: when its final answer was there, and what it said before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgetool.search.point import Point
from edgetool.validate.difference import rounded


@dataclass(frozen=True, slots=True)
class Answer:
    """From so many seconds on, this recipe would have been chosen; None where none held the budgets yet."""

    seconds: float
    point: Point | None

    def to_json(self) -> dict[str, Any]:
        return {"seconds": rounded(self.seconds), "chosen": self.point.name if self.point else None,
                "passes": self.point.recipe.to_json() if self.point else None}  # fmt: skip


class Answers:
    """The answers of one search in the order of time, each where it differs from the one before."""

    def __init__(self) -> None:
        self._rows: list[Answer] = []

    def note(self, seconds: float, chosen: Point | None) -> None:
        """This is what would be chosen now."""
        before = self._rows[-1].point if self._rows else None
        same = (before and before.recipe.key) == (chosen and chosen.recipe.key)
        if not self._rows or not same:
            self._rows.append(Answer(seconds, chosen))

    @property
    def rows(self) -> tuple[Answer, ...]:
        return tuple(self._rows)
