"""The opinion of TensorRT-RTX's own parser, where it is installed: *parser accepts*, never *will build*."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgetool_tensorrt.check.finding import Finding, refused
from edgetool_tensorrt.check.subject import Subject
from edgetool_tensorrt.rtx.toolkit import MODULE, installed_version

if TYPE_CHECKING:
    from edgetool_tensorrt.rtx.parser import ParserVerdict

ACCEPTS = "parser accepts"


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the parser says.

    Attributes:
        accepts: whether it was asked and takes the whole model.
        findings: what it does not take.
    """

    accepts: bool = False
    findings: tuple[Finding, ...] = ()


_NOT_ASKED = Opinion()


def ask_parser(subject: Subject, *, blamed: Set[str]) -> Opinion:
    """Ask about every node; those that are blamed already, by a rule that knows a fix, are not told again.

    It is asked for engines of its own only: TensorRT takes operators that TensorRT-RTX does not, and the other way.
    """
    if not subject.is_rtx or importlib.util.find_spec(MODULE) is None:
        return _NOT_ASKED
    from edgetool_tensorrt.rtx.parser import verdict

    found = verdict(subject.model)
    return Opinion(found.accepted, tuple(_findings(found, blamed)))


def _findings(found: ParserVerdict, blamed: Set[str]) -> Iterator[Finding]:
    nodes: dict[str, list[str]] = {}
    for row in found.rows if not found.accepted else ():
        if row.node not in blamed:
            nodes.setdefault(row.reason, []).append(row.node)
    for reason, labels in nodes.items():
        yield refused(
            f"the parser of TensorRT-RTX {installed_version()} does not accept it: {reason}",
            filter(None, labels),
            fix="replace it by operators that TensorRT reads, or keep this part outside of the model",
        )
