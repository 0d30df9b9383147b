"""The static verdict: all rules, all bad nodes, one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from edgetool.artifact import Model
from edgetool.backends import Legalization, Placement, Site, Support
from edgetool_tensorrt.check.dimensions import check_dimensions
from edgetool_tensorrt.check.dla import Elsewhere, check_dla
from edgetool_tensorrt.check.dtypes import check_types
from edgetool_tensorrt.check.finding import Finding
from edgetool_tensorrt.check.fusion import check_fusion
from edgetool_tensorrt.check.issues import check_issues
from edgetool_tensorrt.check.memory import check_memory
from edgetool_tensorrt.check.names import check_names
from edgetool_tensorrt.check.operators import check_operators
from edgetool_tensorrt.check.opsets import check_opset
from edgetool_tensorrt.check.parser import ACCEPTS, Opinion, ask_parser
from edgetool_tensorrt.check.quantized import check_quantization
from edgetool_tensorrt.check.restrictions import check_restrictions
from edgetool_tensorrt.check.subject import Row, Subject, subject_of
from edgetool_tensorrt.check.target import check_target
from edgetool_tensorrt.choice import Kind
from edgetool_tensorrt.options import TensorRtOptions
from edgetool_tensorrt.version import Version

GPU, DLA = "GPU", "DLA"
_AS_A_WHOLE = "the model is refused as a whole"

Rule: TypeAlias = Callable[[Subject], Iterable[Finding]]
RULES: tuple[Rule, ...] = (
    check_target,
    check_issues,
    check_opset,
    check_operators,
    check_restrictions,
    check_types,
    check_quantization,
    check_dimensions,
    check_memory,
    check_names,
    check_fusion,
)
"""In the order in which their problems are told."""


def verdict(
    model: Model, options: TensorRtOptions, site: Site, *, kind: Kind, version: Version | None = None
) -> Support:
    """What TensorRT, or TensorRT-RTX, will make of a model on its target, found out without building.

    Args:
        model: typed ONNX.
        options: of the target.
        site: with the target's facts: `sm`, `soc`, `ram`, `max_opset`, `dla_cores`, ...
        kind: of the builder that was chosen.
        version: of the TensorRT that builds; when it is not given, what the target says of itself, or what is
            installed for the builder `rtx`. Rules that depend on it are left out where nobody knows it.

    Raises:
        ConfigError, ModelError: the file is no sound ONNX, as `edgetool.graph.load` finds.
    """
    subject = subject_of(model, options, site, kind=kind, version=version)
    findings = [finding for rule in RULES for finding in rule(subject)]
    elsewhere, of_dla = check_dla(subject)
    findings += of_dla
    cure = _cure(findings)
    opinion = Opinion()
    if cure is None:  # else the parser is asked again once it has worked
        blamed = {label for finding in findings if finding.refuses for label in finding.problem.nodes}
        opinion = ask_parser(subject, blamed=blamed)
        findings += opinion.findings
    accelerator = GPU if options.dla_core is None else DLA
    good = ACCEPTS if opinion.accepts else None
    return Support(
        placements=tuple(_placements(subject.rows, findings, elsewhere, accelerator, good=good)),
        accelerator=accelerator,
        problems=tuple(finding.problem for finding in findings),
        legalize=cure,
    )


def _cure(findings: Sequence[Finding]) -> Legalization | None:
    """The pass that cures all refusals; None where there is none, or where one is not enough."""
    refusals = [finding for finding in findings if finding.refuses]
    cures = [finding.cure for finding in refusals]
    return cures[0] if cures and all(cure is not None and cure == cures[0] for cure in cures) else None


def _placements(
    rows: Sequence[Row], findings: Sequence[Finding], elsewhere: Elsewhere, accelerator: str, *, good: str | None
) -> Iterator[Placement]:
    """One row a node of the model's graphs; what is wrong inside of a local function is wrong with its call.

    Args:
        good: what is told of nodes that nothing is wrong with.
    """
    refusals = [finding.problem for finding in findings if finding.refuses]
    blamed = {label: problem.reason for problem in reversed(refusals) for label in problem.nodes}
    blamed |= {row.owner: blamed[row.label] for row in rows if row.label in blamed and row.owner not in blamed}
    nobody = _AS_A_WHOLE if any(not problem.nodes for problem in refusals) else None
    for row in rows:
        if row.owner != row.label:
            continue
        reason = blamed.get(row.label, nobody)
        if reason is not None:
            yield Placement(row.label, row.op_type, None, reason)
        elif row.label in elsewhere:
            yield Placement(row.label, row.op_type, GPU, elsewhere[row.label])
        else:
            yield Placement(row.label, row.op_type, accelerator, good)
