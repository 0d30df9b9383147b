"""Which operators the target's TensorRT reads at all; the table is `operators.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from edgetool_tensorrt.check.finding import Finding, refused, warned
from edgetool_tensorrt.check.subject import Row, Subject
from edgetool_tensorrt.version import Version

_REPLACE = "replace it by operators that TensorRT reads, or keep this part outside of the model"
_QUANTIZE = "quantize the float model with `quantize-static`, which writes ONNX's own Q/DQ"
_FUNCTIONS_SINCE = "9.0"
"""Change log of onnx-tensorrt, 9.0."""


@dataclass(frozen=True, slots=True)
class Operators:
    """The table.

    Attributes:
        since: operator -> the first TensorRT release that reads it.
        never: operators that no release reads.
        rtx_never: what TensorRT-RTX does not read besides.
        rtx_unbuildable: what TensorRT-RTX knows and cannot build, with the reason.
        rtx_max_opset: the newest opset that TensorRT-RTX reads.
        instead: operator -> what to do without it.
    """

    since: Mapping[str, Version]
    never: frozenset[str]
    rtx_never: frozenset[str]
    rtx_unbuildable: Mapping[str, str]
    rtx_max_opset: int
    instead: Mapping[str, str]

    @property
    def known(self) -> frozenset[str]:
        """All operators that the table says anything about."""
        return frozenset(self.since) | self.never | self.rtx_never | self.rtx_unbuildable.keys()


@cache
def operators() -> Operators:
    """Read the table."""
    table = tomllib.loads((Path(__file__).parent / "operators.toml").read_text(encoding="utf-8"))
    rtx = table["rtx"]
    return Operators(
        since={name: Version.parse(first) for first, names in table["since"].items() for name in names},
        never=frozenset(table["never"]["operators"]),
        rtx_never=frozenset(rtx["never"]),
        rtx_unbuildable=rtx["unbuildable"],
        rtx_max_opset=rtx["max_opset"],
        instead=table["instead"],
    )


def rtx_max_opset() -> int:
    """The newest opset that TensorRT-RTX reads."""
    return operators().rtx_max_opset


def check_operators(subject: Subject) -> Iterator[Finding]:
    """Refuse what the target's parser does not know, all nodes of an operator in one finding."""
    nodes: dict[Finding, list[str]] = {}
    functions = {(one.domain, one.name) for one in subject.proto.functions}
    for row in subject.rows:
        if (row.node.domain, row.op_type) in functions:
            found = _call(subject)
        else:
            found = _own(row, subject) if row.is_own else _foreign(row)
        if found is not None:
            nodes.setdefault(found, []).append(row.label)
    for found, labels in nodes.items():
        again = refused if found.refuses else warned
        yield again(found.problem.reason, labels, fix=found.problem.fix or _REPLACE)


def _call(subject: Subject) -> Finding | None:
    if not subject.lacks(_FUNCTIONS_SINCE):
        return None
    return refused(
        f"local functions are read from TensorRT {_FUNCTIONS_SINCE} on, and the target has {subject.product}",
        fix="put `simplify` into the recipe: it writes them out",
    )


def _foreign(row: Row) -> Finding:
    quantized = row.op_type.startswith(("Q", "DynamicQ", "DequantizeLinear", "MatMulInteger", "ConvInteger"))
    return refused(
        f"{row.op_type} of {row.node.domain!r} is no operator of ONNX, and TensorRT knows it only where a plugin does",
        fix=_QUANTIZE if quantized else "export and optimize with ONNX's own operators only",
    )


def _own(row: Row, subject: Subject) -> Finding | None:
    table = operators()
    name = row.op_type
    instead = table.instead.get(name, _REPLACE)
    if name in table.never or (subject.is_rtx and name in table.rtx_never):
        return refused(f"TensorRT{'-RTX' if subject.is_rtx else ''} reads no {name}", fix=instead)
    if subject.is_rtx:
        why = table.rtx_unbuildable.get(name)
        return None if why is None else refused(f"TensorRT-RTX cannot build {name}: {why}", fix=instead)
    if name not in table.since:
        return warned(
            f"{name} is in no list of what TensorRT reads", fix="see whether the build succeeds; else " + instead
        )
    first = table.since[name]
    if subject.lacks(str(first)):
        release = f"{first.major}.{first.minor}"
        return refused(
            f"{name} is read from TensorRT {release} on, and the target has {subject.version}",
            fix=f"{instead}; or update TensorRT" if name in table.instead else f"update TensorRT, or {_REPLACE}",
        )
    return None
