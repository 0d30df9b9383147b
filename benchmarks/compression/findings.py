"""What a row of the table found out: plain data, which travels from the row's process to the table and into JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Check:
    """One number beside what is wanted of it.

    Attributes:
        what: is measured.
        reached: the number.
        wanted: its limit.
        at_least: whether the limit is the least or the most that is wanted.
    """

    what: str
    reached: float
    wanted: float
    at_least: bool = True

    @property
    def held(self) -> bool:
        return self.reached >= self.wanted if self.at_least else self.reached <= self.wanted + 1e-9

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        return f"{self.what} {self.reached:.4g} (wanted {sign} {self.wanted:g}): {'held' if self.held else 'MISSED'}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One recipe or one peer.

    Attributes:
        name: as the table prints it.
        figures: lines for people.
        data: the same for programs.
        checks: empty where it stands for comparison only.
        failure: why there are no figures.
    """

    name: str
    figures: tuple[str, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    failure: str | None = None

    def to_json(self) -> dict[str, Any]:
        checks = [{**asdict(check), "held": check.held} for check in self.checks]
        return {**asdict(self), "checks": checks}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        checks = (Check(one["what"], one["reached"], one["wanted"], one["at_least"]) for one in data["checks"])
        return cls(data["name"], tuple(data["figures"]), data["data"], tuple(checks), data["failure"])


def verdict(findings: Sequence[Finding]) -> str:
    """`held`, `MISSED`, or `FAILED` where something that is wanted could not be measured."""
    if not findings or any(one.failure for one in findings if not one.data.get("peer")):
        return "FAILED"
    return "held" if all(check.held for one in findings for check in one.checks) else "MISSED"
