"""What a comparison found wrong, or could not prove."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from edgetool.artifact import JsonValue

Status: TypeAlias = Literal["passed", "failed", "unverified"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason why an engine is not simply fine.

    Attributes:
        kind: `failure` condemns the engine, `unproven` says what could not be shown here, `remark` only informs.
        code: kebab-case, e.g. `wrong-shape`.
        message: one sentence.
        where: output, shape or sample concerned.
    """

    kind: Literal["failure", "unproven", "remark"]
    code: str
    message: str
    where: str | None = None

    def to_json(self) -> dict[str, JsonValue]:
        return {"kind": self.kind, "code": self.code, "message": self.message, "where": self.where}

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


def status_of(findings: tuple[Finding, ...]) -> Status:
    """Failures outweigh what is unproven."""
    kinds = {finding.kind for finding in findings}
    if "failure" in kinds:
        return "failed"
    return "unverified" if "unproven" in kinds else "passed"
