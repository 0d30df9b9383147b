"""Which nodes are needed for a failure: bisection on runs of nodes, then one by one.

The result is 1-minimal in the sense of A. Zeller and R. Hildebrandt, "Simplifying and Isolating Failure-Inducing
Input", IEEE TSE 28(2), 2002: without any single node of it the failure is gone. Nothing but a set that was seen to fail
is ever built upon, so a failure that comes and goes with the cut can make the result larger, never wrong.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Literal, TypeAlias, get_args

Mode: TypeAlias = Literal["bisect", "linear"]
MODES: tuple[Mode, ...] = get_args(Mode)
Nodes: TypeAlias = frozenset[int]
"""Indices of nodes, in the order in which they run."""


class Search:
    """Looks for a small set of nodes that still fails.

    Attributes:
        best: the smallest set that was seen to fail, at any time: an exception of `fails` loses nothing.
    """

    def __init__(self, nodes: Iterable[int], fails: Callable[[Nodes], bool]) -> None:
        self.best: Nodes = frozenset(nodes)
        self._fails = fails
        self._asked: dict[Nodes, bool] = {self.best: True}

    def run(self, mode: Mode, *, suspects: Nodes = frozenset()) -> None:
        """Reduce `best` until no single node can be left out.

        Args:
            mode: `bisect` looks for long runs of nodes that can be spared, before single nodes; `linear` for single
                nodes only, the last first, which takes a question for each but does not depend on luck.
            suspects: nodes that the failure itself blames; tried first.
        """
        self._suspect(suspects & self.best)
        if mode == "bisect":
            self._cut_end()
            self._sweep()
        while self._leave_out_one():
            pass

    def _suspect(self, suspects: Nodes) -> None:
        """All that are blamed, then each alone."""
        if suspects and self._take(suspects) and len(suspects) > 1:
            for one in sorted(suspects):
                if self._take(frozenset({one})):
                    return

    def _cut_end(self) -> None:
        """The shortest beginning that fails: most of a large model is gone after a few questions."""
        ordered = sorted(self.best)
        low, high = 0, len(ordered)  # [:high] fails
        while high - low > 1:
            middle = (low + high) // 2
            if self._take(frozenset(ordered[:middle])):
                high = middle
            else:
                low = middle

    def _sweep(self) -> None:
        """From the first node on, leave out the longest run that can be spared, then keep the node behind it."""
        for position in itertools.count():
            ordered = sorted(self.best)
            if position >= len(ordered):
                return
            low, high = 0, len(ordered) - position + 1  # a run of `low` can be spared
            while high - low > 1:
                middle = (low + high) // 2
                run = ordered[position : position + middle]
                if self._take(frozenset(ordered) - frozenset(run)):
                    low = middle
                else:
                    high = middle

    def _leave_out_one(self) -> bool:
        """One walk over all nodes; False when none can be spared."""
        before = self.best
        for node in sorted(before, reverse=True):
            self._take(self.best - {node})
        return self.best != before

    def _take(self, nodes: Nodes) -> bool:
        """Whether these fail too; if so, they are the new best."""
        if not nodes or nodes >= self.best:
            return False
        if nodes not in self._asked:
            self._asked[nodes] = self._fails(nodes)
        if self._asked[nodes]:
            self.best = nodes
        return self._asked[nodes]
