"""What is known to go wrong with a TensorRT version on a chip, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from edgetool_tensorrt.knowledge.chips import canonical_sm
from edgetool_tensorrt.knowledge.tables import read_table
from edgetool_tensorrt.version import Version


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownIssue:
    """One known issue.

    Attributes:
        code: kebab-case name of it.
        summary: one sentence: what happens.
        fix: what to do.
        severity: `refuse` ends the build before anything is copied; `warn` is shown and recorded.
        source: where it was reported or documented.
        since: first TensorRT version concerned; None for all before `until`.
        until: first version that is not concerned any more; None if there is none yet.
        sm: compute capabilities times ten; empty for all.
        int8, dla: True or False where it concerns only networks that do or do not; None where that does not matter.
    """

    code: str
    summary: str
    fix: str
    severity: Literal["refuse", "warn"]
    source: tuple[str, ...]
    since: Version | None = None
    until: Version | None = None
    sm: frozenset[int] = frozenset()
    int8: bool | None = None
    dla: bool | None = None

    def __str__(self) -> str:
        return f"{self.summary}; {self.fix} ({', '.join(self.source)})"


@cache
def all_issues() -> tuple[KnownIssue, ...]:
    """The whole table."""
    return tuple(_issue(row) for row in read_table("issues")["issue"])


def known_issues(
    version: Version | None, sm: int | None, *, int8: bool | None = None, dla: bool | None = None
) -> tuple[KnownIssue, ...]:
    """The issues that concern a TensorRT version on a chip.

    Args:
        version: None leaves out all issues that depend on it.
        sm: compute capability times ten; None leaves out all issues that depend on it.
        int8: whether the network computes in int8. None tells of both cases: for display, never to refuse by.
        dla: whether it is built for a DLA; None likewise.
    """
    return tuple(
        issue
        for issue in all_issues()
        if _concerns_version(issue, version)
        and (not issue.sm or (sm is not None and canonical_sm(sm) in issue.sm))
        and _agree(issue.int8, int8)
        and _agree(issue.dla, dla)
    )


def _concerns_version(issue: KnownIssue, version: Version | None) -> bool:
    if version is None:
        return issue.since is None and issue.until is None
    return (issue.since is None or issue.since <= version) and (issue.until is None or version < issue.until)


def _agree(condition: bool | None, asked: bool | None) -> bool:
    return condition is None or asked is None or condition == asked


def _issue(row: Mapping[str, Any]) -> KnownIssue:
    return KnownIssue(
        code=row["code"],
        summary=row["summary"],
        fix=row["fix"],
        severity=row["severity"],
        source=tuple(row["source"]),
        since=Version.parse(row["since"]) if "since" in row else None,
        until=Version.parse(row["until"]) if "until" in row else None,
        sm=frozenset(row.get("sm", ())),
        int8=row.get("int8"),
        dla=row.get("dla"),
    )
