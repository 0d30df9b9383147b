"""What is known to go wrong with the target's TensorRT on its chip, for a network such as this one."""

from __future__ import annotations

from collections.abc import Iterator

from edgetool_tensorrt import knowledge
from edgetool_tensorrt.check.finding import Finding, refused, warned
from edgetool_tensorrt.check.subject import Subject
from edgetool_tensorrt.knowledge import KnownIssue


def issues_of(subject: Subject) -> tuple[KnownIssue, ...]:
    """The known issues that concern a model on its target; TensorRT-RTX has none so far."""
    if subject.is_rtx:
        return ()
    sm = subject.sms[0] if subject.sms else None
    return knowledge.known_issues(subject.version, sm, int8=subject.is_int8, dla=subject.options.dla_core is not None)


def check_issues(subject: Subject) -> Iterator[Finding]:
    """One finding for each known issue, with its source."""
    for issue in issues_of(subject):
        make = refused if issue.severity == "refuse" else warned
        yield make(f"{issue.summary} ({', '.join(issue.source)})", fix=issue.fix)
