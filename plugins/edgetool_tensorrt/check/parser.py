"""The opinion of TensorRT-RTX's own parser, where it is installed: *parser accepts*, never *will build*."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Set

from edgetool_tensorrt.check.finding import Finding, refused
from edgetool_tensorrt.check.subject import Subject
from edgetool_tensorrt.rtx.toolkit import MODULE, installed_version


def check_parser(subject: Subject, *, blamed: Set[str]) -> Iterator[Finding]:
    """Every node that the parser does not accept, unless it is blamed already, by a rule that knows a fix."""
    if not subject.is_rtx or importlib.util.find_spec(MODULE) is None:
        return
    from edgetool_tensorrt.rtx.parser import verdict

    found = verdict(subject.model)
    if found.accepted:
        return
    nodes: dict[str, list[str]] = {}
    for row in found.rows:
        if row.node not in blamed:
            nodes.setdefault(row.reason, []).append(row.node)
    for reason, labels in nodes.items():
        yield refused(
            f"the parser of TensorRT-RTX {installed_version()} does not accept it: {reason}",
            filter(None, labels),
            fix="replace it by operators that TensorRT reads, or keep this part outside of the model",
        )
