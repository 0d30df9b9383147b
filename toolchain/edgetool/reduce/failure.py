"""How a backend failed on a model, and when another failure is the same one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from edgetool.artifact import JsonValue

Stage: TypeAlias = Literal["supports", "build", "run", "check"]

_VARYING = (
    re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`"),  # names of nodes and tensors
    re.compile(r"\[[^\[\]]*\]|\([^()]*\)"),  # lists of them, shapes
    re.compile(r"(/[\w.+-]+)+"),  # paths
    re.compile(r"0x[0-9a-f]+|\d+", re.IGNORECASE),
)


@dataclass(frozen=True, slots=True)
class Failure:
    """One way in which a model failed.

    Attributes:
        stage: where: the static verdict, the build, the first run, or the user's own command.
        code: of the error, or how the command ended.
        reason: its first line.
        nodes: that it blames, by label; empty where it names none.
    """

    stage: Stage
    code: str
    reason: str
    nodes: tuple[str, ...] = ()

    def is_like(self, other: Failure, *, any_reason: bool) -> bool:
        """Whether both are the same failure, however the reduced model's nodes, shapes and files are called.

        Args:
            other: what to compare with.
            any_reason: the stage and the code have to be the same, the reason need not.
        """
        if (self.stage, self.code) != (other.stage, other.code):
            return False
        return any_reason or _without_details(self.reason) == _without_details(other.reason)

    def to_json(self) -> dict[str, JsonValue]:
        return {"stage": self.stage, "code": self.code, "reason": self.reason}

    def __str__(self) -> str:
        return f"{self.stage}: {self.code}" + (f": {self.reason}" if self.reason else "")


def first_line(text: str) -> str:
    """The first line that says something."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _without_details(reason: str) -> str:
    for pattern in _VARYING:
        reason = pattern.sub("·", reason)
    return " ".join(reason.split())
