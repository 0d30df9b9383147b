"""What a recipe must hold: the target's own budgets, with those that the command line names in their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgetool.config.schema import BudgetTable
from edgetool.search.point import Trial
from edgetool.search.split import Split
from edgetool.validate.budgets import Verdict, judge

ACCURACY = ("max_drop", "min_metric", "min_cosine", "min_sqnr_db", "min_agreement", "max_abs")
_AT_MOST = ("max_drop", "max_abs")


@dataclass(frozen=True, slots=True)
class Limits:
    """Budgets, and the samples that the accuracy is told from.

    Attributes:
        budget: all of them.
        split: of the samples.
    """

    budget: BudgetTable
    split: Split

    def verdicts(self, trial: Trial, group: str) -> tuple[Verdict, ...]:
        """What becomes of each budget on one group of samples."""
        return judge(self.budget, replace(trial.measured, comparison=trial.comparisons[group]))

    def missed(self, trial: Trial, group: str) -> tuple[Verdict, ...]:
        return tuple(row for row in self.verdicts(trial, group) if row.status == "missed")

    def across(self, rounds: Sequence[tuple[Trial, str]]) -> tuple[Verdict, ...]:
        """The accuracy budgets over several rounds, each a trial and the group that judges it: means over samples."""
        sizes = [self.split.size(group) for _, group in rounds]
        of_rounds = [self.verdicts(trial, group) for trial, group in rounds]
        found = []
        for rows in zip(*of_rounds, strict=True):
            first = rows[0]
            if first.name not in ACCURACY or len(rows) == 1:
                found.append(first)
                continue
            values = [(row.measured, size) for row, size in zip(rows, sizes, strict=True) if row.measured is not None]
            if len(values) < len(rows):
                found.append(first)
                continue
            mean = sum(value * size for value, size in values) / sum(sizes)
            slack = 1e-9 * max(1.0, abs(first.limit))
            held = mean <= first.limit + slack if first.name in _AT_MOST else mean >= first.limit - slack
            status = "missed" if not held else "unverified" if first.status == "unverified" else "held"
            found.append(replace(first, status=status, measured=mean))
        return tuple(found)
