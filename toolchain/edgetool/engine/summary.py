"""The end of a build: verdicts on budgets, the exit code, one line for people and the figures for machines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgetool.artifact import JsonValue
from edgetool.config.units import format_bytes, format_seconds
from edgetool.engine.events import BuildFinished
from edgetool.engine.outcome import BuildOptions, Candidate, Proof
from edgetool.engine.plan import BuildPlan
from edgetool.errors import BudgetError, EdgetoolError
from edgetool.validate.budgets import Measured, enforce
from edgetool.validate.budgets import Verdict as BudgetVerdict
from edgetool.validate.findings import Finding

_OLD = 3600.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """A bundle in its place.

    Attributes:
        bundle: its folder.
        content_digest: of everything in it but the measurements.
        size: bytes of the engine's files.
        verdicts: one a declared budget.
        findings: of the comparison, and what else is unproven.
        written: False when an equal bundle was there already.
    """

    bundle: Path
    content_digest: str
    size: int
    verdicts: tuple[BudgetVerdict, ...]
    findings: tuple[Finding, ...]
    written: bool


def measured(plan: BuildPlan, candidate: Candidate, proof: Proof, *, size: int) -> Measured:
    """What the budgets are judged by. After a fallback every node is off the accelerator that was meant."""
    total, elsewhere = node_counts(candidate)
    latency = proof.measurement.latency if proof.measurement else None
    return Measured(
        comparison=proof.comparison,
        latency=latency,
        size=size,
        memory=proof.measurement.peak_memory if proof.measurement else None,
        off_accelerator_nodes=total if candidate.refused else elsewhere,
        stand_in=stand_in(candidate),
        why_not=proof.why_not,
    )


def stand_in(candidate: Candidate) -> str | None:
    """Who took the place of the target's own backend or device, if anybody did."""
    if candidate.refused:
        return f"the fallback backend {candidate.engine.backend.name}"
    availability = candidate.engine.backend.availability
    return availability.stand_in if availability else None


def node_counts(candidate: Candidate) -> tuple[int, int]:
    """All nodes, and those that run elsewhere than on the accelerator."""
    return len(candidate.verdict.placements), len(candidate.verdict.off_accelerator)


def unproven(plan: BuildPlan, candidate: Candidate, proof: Proof) -> Iterator[Finding]:
    """What this build leaves open besides its comparison and budgets."""
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


def exit_code(delivery: Delivery, *, target: str, allow_unverified: bool) -> int:
    """As `enforce` judges, for a bundle that is written whatever comes of it: 4 before 9 before 0."""
    try:
        enforce(delivery.verdicts, delivery.findings, target=target, allow_unverified=allow_unverified)
    except EdgetoolError as error:
        return error.exit_code
    return 0


def finish(
    plan: BuildPlan, candidate: Candidate, proof: Proof, delivery: Delivery, options: BuildOptions, *, seconds: float
) -> BuildFinished:
    """The event that ends a build."""
    allow = options.allow_unverified or plan.target.unverified == "allow"
    code = exit_code(delivery, target=plan.target.name, allow_unverified=allow)
    return BuildFinished(
        target=plan.target.name,
        exit_code=code,
        summary=_line(plan, candidate, proof, delivery, code),
        remarks=tuple(_remarks(plan, candidate, proof, delivery, allow=allow)),
        bundle=str(delivery.bundle),
        content_digest=delivery.content_digest,
        result=_figures(plan, candidate, proof, delivery, seconds=seconds),
    )


def _line(plan: BuildPlan, candidate: Candidate, proof: Proof, delivery: Delivery, code: int) -> str:
    total, elsewhere = node_counts(candidate)
    word = "failed" if code == BudgetError.exit_code else "built"
    parts = [f"{word} {plan.target.name}", candidate.engine.precision, format_bytes(delivery.size)]
    if proof.measurement:
        timing = proof.measurement.latency.engine
        parts.append(f"p50 {format_seconds(timing.p50)} (±{timing.spread:.0%})")
    comparison = proof.comparison
    if comparison and comparison.score:
        parts.append(f"{comparison.score.metric} {comparison.score.engine:.4g} (drop {comparison.score.drop:.2%})")
    elif comparison and comparison.real:
        cosines = [row.cosine for row in comparison.real.differences if not row.integral]
        parts += [f"cosine {min(cosines):.6f}"] if cosines else []
    parts.append(f"{total - elsewhere}/{total} nodes on {candidate.verdict.accelerator}")
    if _is_unverified(delivery):
        parts.append("unverified")
    if plan.target.stands_in_for:
        parts.append(f"stands in for {', '.join(plan.target.stands_in_for)}")
    return "  ".join(parts) + f"  → {delivery.bundle}"


def _is_unverified(delivery: Delivery) -> bool:
    return any(row.status == "unverified" for row in delivery.verdicts) or any(
        row.kind == "unproven" for row in delivery.findings
    )


def _remarks(plan: BuildPlan, candidate: Candidate, proof: Proof, delivery: Delivery, *, allow: bool) -> Iterator[str]:
    for finding in delivery.findings:
        if finding.kind == "failure":
            yield f"failed: {finding}"
    for verdict in delivery.verdicts:
        if verdict.status == "missed":
            yield f"missed: {verdict}"
    for finding in delivery.findings:
        if finding.kind == "unproven":
            yield f"unverified: {finding}"
    for verdict in delivery.verdicts:
        if verdict.status == "unverified":
            yield f"unverified: {verdict}" + (f"; to prove it: {verdict.fix}" if verdict.fix else "")
    yield from _on_speed(candidate, proof)
    if plan.target.stands_in_for:
        yield f"this proves nothing for {', '.join(plan.target.stands_in_for)}: build or validate on the device itself"
    if _is_unverified(delivery) and not allow:
        yield "exit 9 says that something is unverified; --allow-unverified accepts it"


def _on_speed(candidate: Candidate, proof: Proof) -> Iterator[str]:
    """Whether compression pays, how sure that is, and how old the figures are."""
    if proof.measurement is None:
        return
    latency = proof.measurement.latency
    longer = f"not settled within {latency.seconds:.2g} s, --latency-time 5s gives it longer"
    compressed = candidate.engine.precision != "float32"
    if latency.speedup is None:
        if not latency.settled:
            yield f"p50 on {proof.measurement.device}: {longer}"
    elif latency.verdict == "slower" and compressed:
        nodes = list(proof.evidence.get("unfused", []))
        blamed = f"; quantized nodes that run in float: {', '.join(nodes[:8])}" if nodes else ""
        more = f" and {len(nodes) - 8} more" if len(nodes) > 8 else ""
        yield f"slower than float here: {latency.speedup:.2f}x the float reference's speed{blamed}{more}"
    elif compressed:
        ratio = f"{latency.speedup:.2f}x (±{latency.speedup_spread:.0%}) as fast as the float reference here"
        yield ratio if latency.settled else f"{ratio}; {longer}"
    if proof.measurement.age > _OLD:
        yield f"latency measured {proof.measurement.age / 3600:.0f} h ago; --remeasure repeats it"


def _figures(
    plan: BuildPlan, candidate: Candidate, proof: Proof, delivery: Delivery, *, seconds: float
) -> dict[str, JsonValue]:
    total, elsewhere = node_counts(candidate)
    return {
        "backend": candidate.engine.backend.name,
        "precision": candidate.engine.precision,
        "size": delivery.size,
        "nodes": total,
        "off_accelerator_nodes": total if candidate.refused else elsewhere,
        "accelerator": candidate.verdict.accelerator,
        "comparison": proof.comparison.to_json() if proof.comparison else None,
        "latency": proof.measurement.latency.to_json() if proof.measurement else None,
        "peak_memory": proof.measurement.peak_memory if proof.measurement else None,
        "evidence": dict(proof.evidence),
        "verdicts": [row.to_json() for row in delivery.verdicts],
        "findings": [row.to_json() for row in delivery.findings],
        "unverified": _is_unverified(delivery),
        "stands_in_for": list(plan.target.stands_in_for),
        "refused_backends": [
            {"backend": row.backend, "code": row.code, "reason": row.reason} for row in candidate.refused
        ],
        "seconds": round(seconds, 3),
    }
