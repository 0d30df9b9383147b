"""Why a build lost its accuracy, and where: what blame found, told at the checks that failed.

Three may have lost it, and each has its own cure: the network as it was imported, the passes of the recipe, or the
runtime, which computes in another precision than the network asks for.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

from edgetool.blame.findings import INAUDIBLE, Blame, LayerBlame, kept_float
from edgetool.report.baseline import SCORE_SLACK
from edgetool.report.document import Check, Report
from edgetool.validate.budgets import ACCURACY

EXPORT = "export"
"""Of the check that compares the network with one that it should be equal to."""

_ACCURACY = frozenset({"baseline/accuracy", "baseline/drift", *(f"budget/{name}" for name in ACCURACY)})
_DRIFTED = "validation/drifted"
_NAMED = 3
_APART = 2
"""Layers; with one, everything between inputs and outputs would be named after its last node."""

_LOUDER = 6.0
"""dB: an error of the whole engine this much above that of its network, twice as large, is not the network's."""

Culprit = Literal["network", "passes", "runtime"]


def lost_accuracy(report: Report) -> bool:
    """Whether a check of its numbers failed, and nobody knows of it already."""
    return bool(_lost(report))


def needs_blame(report: Report) -> bool:
    """Whether running its layers would tell more than the report does: something was compressed, and lost."""
    return lost_accuracy(report) and not _reference_is_bad(report) and any(row.changed for row in report.passes)


def diagnosed(report: Report, found: Blame | None, *, why_not: str | None = None) -> Report:
    """The report with causes, layers and cures at its failed checks of accuracy.

    Args:
        found: what its passes lost by layer, where that was looked at.
        why_not: it was, and could not be found out.
    """
    lost = _lost(report)
    if not lost:
        return report
    if found is not None and len(found.layers) < _APART:
        found, why_not = None, "the passes left no inner tensor of the network as it was"
    first = lost[0]
    explained = _explained(first, _culprit(report, found), report, found, why_not)
    # Every check gets the cure, because a tracker may show it alone; the reason stands at one of them.
    checks = tuple(
        explained if check is first
        else replace(check, fix=explained.fix, nodes=explained.nodes) if check in lost
        else check
        for check in report.checks
    )  # fmt: skip
    return replace(report, checks=checks, blame=report.blame or found)


def export_check(found: Blame, *, against: str) -> Check:
    """The network against one that it should be equal to."""
    title = _against(against)
    wrong = [row for row in found.layers if row.cause == "export"]
    measured = f"{_decibels(found.outputs_db)} of signal over error at the outputs, {found.samples} samples"
    if not wrong:
        if found.outputs_db >= INAUDIBLE:
            return Check(EXPORT, title, "passed", f"they compute the same: {measured}")
        message = f"they do not compute the same: {measured}; no inner tensor of one name tells where that begins"
        return Check(EXPORT, title, "failed", message, "export both with the same exporter, so that names agree")
    first = wrong[0]
    more = f"; {len(wrong) - 1} more nodes differ by themselves" if len(wrong) > 1 else ""
    message = f"they do not compute the same: {measured}; the error begins at {first.layer} ({first.op_type}): "
    fix = f"export it again with {first.layer} as in {against}, or name another --reference if the change is meant"
    nodes = tuple(row.layer for row in wrong)
    return Check(EXPORT, title, "failed", message + first.fix + more, fix, nodes)


def no_export_check(why: str, fix: str | None, *, against: str) -> Check:
    """The same where the two could not be run."""
    return Check(EXPORT, _against(against), "unverified", why, fix)


def _against(name: str) -> str:
    return f"the network against {name}"


def _lost(report: Report) -> tuple[Check, ...]:
    """Budgets before what was found without any: they say what the user cares about."""
    failed = [check for check in report.checks if check.outcome == "failed"]
    budgets = [check for check in failed if check.id in _ACCURACY]
    drifted = [check for check in failed if check.id.startswith(_DRIFTED)]
    return (*budgets, *drifted, *(check for check in failed if drifted and check.id == "validation"))


def _reference_is_bad(report: Report) -> bool:
    """Whether the float reference misses by the labels as well: then nobody after the import lost anything."""
    score = report.comparison.score if report.comparison else None
    lost = _lost(report)
    if score is None or not lost:
        return False
    limit = next((row.limit for row in report.budgets if row.name == "min_metric"), -math.inf)
    bad = {"budget/min_metric": score.reference < limit, "baseline/accuracy": score.drop <= SCORE_SLACK}
    return all(bad.get(check.id, False) for check in lost)


def _culprit(report: Report, found: Blame | None) -> Culprit:
    if _reference_is_bad(report):
        return "network"
    if not any(row.changed for row in report.passes):
        return "runtime"
    engine = _engine_db(report)
    if found is not None and engine is not None and found.outputs_db > engine + _LOUDER:
        return "runtime"
    return "passes"


def _engine_db(report: Report) -> float | None:
    """The worst signal over noise of an output, engine against reference, on the user's samples."""
    real = report.comparison.real if report.comparison else None
    return min((row.sqnr_db for row in real.differences if not row.integral), default=None) if real else None


def _explained(check: Check, culprit: Culprit, report: Report, found: Blame | None, why_not: str | None) -> Check:
    if culprit == "network":
        return _of_network(check, report)
    if culprit == "runtime":
        said = f"its passes keep {_decibels(found.outputs_db)}, so the runtime loses the rest" if found else (
            f"no pass changed the network, and the runtime computes in {report.precision}"
        )  # fmt: skip
        return replace(check, message=f"{check.message}; {said}", fix=check.fix or _of_runtime(report))
    if found is None or not (worst := _worst(found)):
        names = [row.name for row in report.passes if row.changed]
        fix = f"edgetool blame --target {report.target} ranks the layers by what {', '.join(names)} lost"
        if why_not is not None:
            cure = (
                f"{names[0]} alone changed it: leave it out"
                if len(names) == 1
                else f"try without {', or '.join(names)}"
            )
            fix = f"{cure}. The layers cannot be told apart here: {why_not}"
        return replace(check, fix=check.fix or fix)
    named = ", ".join(f"{row.layer} ({_decibels(_effect(row))})" for row in worst)
    cures = "; ".join([*(f"{row.layer}: {row.fix}" for row in worst if row.fix != kept_float(row.layer)),
                       kept_float(*(row.layer for row in worst))])  # fmt: skip
    message = f"{check.message}; the most is lost at {named}"
    return replace(check, message=message, fix=cures, nodes=tuple(row.layer for row in worst))


def _of_network(check: Check, report: Report) -> Check:
    score = report.comparison.score if report.comparison else None
    assert score is not None
    message = (
        f"{check.message}; the float reference has {score.reference:.4g} itself, "
        "so neither passes nor runtime lost it: the network as imported is to blame, or the samples"
    )
    if export := next((row for row in report.checks if row.id == EXPORT), None):
        same = "is equal to its reference: look at the samples and labels, and at their preprocessing"
        fix = f"the network {same}" if export.outcome == "passed" else export.fix
        return replace(check, message=message, fix=fix, nodes=export.nodes)
    return replace(check, message=message, fix="edgetool validate --reference FILE, the last export that was right, "
                   "finds the node where the two part")  # fmt: skip


def _of_runtime(report: Report) -> str:
    if report.precision in ("float32", ""):
        return f"the runtime computes otherwise than the float reference: try another backend than {report.backend}"
    return f"the runtime computes in {report.precision}: set a wider precision for {report.target}, or another recipe"


def _worst(found: Blame) -> list[LayerBlame]:
    return [row for row in found.layers if row.cause not in ("none", "inherited")][:_NAMED]


def _effect(row: LayerBlame) -> float:
    return row.error.alone if row.error.output is None else row.error.output


def _decibels(value: float) -> str:
    return "no error" if math.isinf(value) else f"{value:.1f} dB"
