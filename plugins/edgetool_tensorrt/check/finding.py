"""What a rule found: a problem, and the pass that would cure it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgetool.backends import Legalization
from edgetool.problem import Problem


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem of a model.

    Attributes:
        problem: as the user sees it.
        cure: a documented pass after which this problem is gone; None when the user has to decide.
    """

    problem: Problem
    cure: Legalization | None = None

    @property
    def refuses(self) -> bool:
        return self.problem.severity == "refuse"


def refused(reason: str, nodes: Iterable[str] = (), *, fix: str, cure: Legalization | None = None) -> Finding:
    """A reason why no engine can be built, or none that computes the same."""
    return Finding(Problem(reason, tuple(dict.fromkeys(nodes)), fix), cure)


def warned(reason: str, nodes: Iterable[str] = (), *, fix: str) -> Finding:
    """Something that the user should know, and that does not keep an engine from being built."""
    return Finding(Problem(reason, tuple(dict.fromkeys(nodes)), fix, severity="warn"))
