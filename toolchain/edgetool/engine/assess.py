"""What follows from an engine and its proof: the budgets' verdicts, and what stays open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from edgetool.engine.fit import Fit, fits
from edgetool.engine.outcome import Candidate, Proof
from edgetool.engine.planned import BuildPlan
from edgetool.errors import EdgetoolError
from edgetool.validate.budgets import Measured, Verdict, enforce, judge
from edgetool.validate.findings import Finding


@dataclass(frozen=True, slots=True)
class Assessment:
    """An engine, judged.

    Attributes:
        size: bytes of its files.
        verdicts: one a declared budget.
        findings: of its comparison with the reference, and memories of the target that it does not fit into.
        unproven: what the build leaves open besides.
        fits: the target's memories, and what is needed of them.
    """

    size: int
    verdicts: tuple[Verdict, ...]
    findings: tuple[Finding, ...]
    unproven: tuple[Finding, ...]
    fits: tuple[Fit, ...] = ()

    @property
    def all_findings(self) -> tuple[Finding, ...]:
        return (*self.findings, *self.unproven)

    @property
    def failures(self) -> tuple[Finding, ...]:
        """Why it must not be used at all."""
        return tuple(row for row in self.findings if row.kind == "failure")

    @property
    def missed(self) -> tuple[Verdict, ...]:
        return tuple(row for row in self.verdicts if row.status == "missed")

    @property
    def is_unverified(self) -> bool:
        return any(row.status == "unverified" for row in self.verdicts) or any(
            row.kind == "unproven" for row in self.all_findings
        )

    def exit_code(self, *, target: str, allow_unverified: bool) -> int:
        """As `enforce` judges, for a bundle that is written whatever comes of it: 4 before 9 before 0."""
        try:
            enforce(self.verdicts, self.all_findings, target=target, allow_unverified=allow_unverified)
        except EdgetoolError as error:
            return error.exit_code
        return 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way from the source to an engine, gone to its end.

    Attributes:
        plan: with the passes that were applied.
        candidate: the engine.
        proof: what was found out about it.
        assessment: what follows.
    """

    plan: BuildPlan
    candidate: Candidate
    proof: Proof
    assessment: Assessment


def assess(plan: BuildPlan, candidate: Candidate, proof: Proof) -> Attempt:
    """Judge an engine by its target's budgets."""
    size = sum(path.stat().st_size for path in candidate.engine.directory.rglob("*") if path.is_file())
    verdicts = judge(plan.target.budget, _measured(candidate, proof, size=size))
    engine, need = candidate.engine, candidate.prepared.model.need
    rows = fits(plan.target.facts, need, engine.facts, size=size)
    findings = (
        *(proof.comparison.findings if proof.comparison else ()),
        *(row.finding for row in rows if row.finding is not None),
    )
    unproven = tuple(_unproven(plan, candidate, proof))
    return Attempt(plan, candidate, proof, Assessment(size, verdicts, findings, unproven, rows))


def stand_in(candidate: Candidate) -> str | None:
    """Who took the place of the target's own backend or device, if anybody did."""
    if candidate.refused:
        return f"the fallback backend {candidate.engine.backend.name}"
    availability = candidate.engine.backend.availability
    return availability.stand_in if availability else None


def node_counts(candidate: Candidate) -> tuple[int, int]:
    """All nodes, and those that run elsewhere than on the accelerator."""
    return len(candidate.verdict.placements), len(candidate.verdict.off_accelerator)


def footprint(candidate: Candidate, what: Literal["flash", "ram"]) -> int | None:
    """Bytes that the image which a backend linked takes of a microcontroller; None where it told none."""
    found = candidate.engine.facts.get(what)
    return found if isinstance(found, int) else None


def blame(proof: Proof) -> str:
    """The end of a sentence that says that an engine is slow: the quantized nodes that run in float after all."""
    nodes = list(proof.evidence.get("unfused", ()))
    if not nodes:
        return ""
    more = f" and {len(nodes) - 8} more" if len(nodes) > 8 else ""
    return f"; quantized nodes that run in float: {', '.join(nodes[:8])}{more}"


def _measured(candidate: Candidate, proof: Proof, *, size: int) -> Measured:
    """What the budgets are judged by. After a fallback every node is off the accelerator that was meant."""
    total, elsewhere = node_counts(candidate)
    return Measured(
        comparison=proof.comparison,
        latency=proof.measurement.latency if proof.measurement else None,
        size=size,
        memory=proof.measurement.peak_memory if proof.measurement else None,
        off_accelerator_nodes=total if candidate.refused else elsewhere,
        flash=footprint(candidate, "flash"),
        ram=footprint(candidate, "ram"),
        stand_in=stand_in(candidate),
        why_not=proof.why_not,
        untimed=proof.untimed,
    )


def _unproven(plan: BuildPlan, candidate: Candidate, proof: Proof) -> Iterator[Finding]:
    name = plan.target.name
    for row in candidate.refused:
        yield Finding(
            "unproven",
            "fell-back",
            f"{row.backend} gave no engine ({row.reason}); {candidate.engine.backend.name} did, "
            f"which proves nothing for {name}",
        )
    if proof.comparison is None:
        how = f"; to prove it: {proof.prove_by}" if proof.prove_by else ""
        yield Finding("unproven", "not-run", f"built, but not run: {proof.why_not}{how}")
    elif (found := stand_in(candidate)) and not candidate.refused:
        yield Finding("unproven", "stand-in", f"ran on {found}, a stand-in; proves nothing for {name}'s own device")
