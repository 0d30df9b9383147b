"""The target itself: whether what it says of its GPU and of its TensorRT can be."""

from __future__ import annotations

from collections.abc import Iterator

from edgetool_tensorrt.check.finding import Finding, warned
from edgetool_tensorrt.check.subject import Subject
from edgetool_tensorrt.rtx.capability import refusal


def check_target(subject: Subject) -> Iterator[Finding]:
    """Refuse GPUs that TensorRT-RTX does not build for; tell where nothing is known to judge by."""
    if subject.is_rtx:
        yield from (Finding(problem) for problem in map(refusal, subject.sms) if problem is not None)
    elif subject.version is None:
        yield warned(
            "the target's TensorRT is not known, so that nothing is said about what depends on its version",
            fix='name it: tensorrt = "10.3.0" in [targets.NAME.facts]',
        )
