"""Refusals as data: why something cannot be done, which nodes are to blame, and what would help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgetool.artifact import JsonValue


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why a pass or a backend cannot take a model.

    Attributes:
        reason: one sentence.
        nodes: names of the nodes to blame; empty when the whole model is.
        fix: what the user can do about it.
        severity: `refuse` stops the build, `warn` is shown and recorded.
    """

    reason: str
    nodes: tuple[str, ...] = ()
    fix: str | None = None
    severity: Literal["refuse", "warn"] = "refuse"

    def to_json(self) -> dict[str, JsonValue]:
        return {"reason": self.reason, "nodes": list(self.nodes), "fix": self.fix, "severity": self.severity}

    def __str__(self) -> str:
        shown = ", ".join(self.nodes[:5]) + (f" and {len(self.nodes) - 5} more" if len(self.nodes) > 5 else "")
        return self.reason + (f" [{shown}]" if shown else "")
