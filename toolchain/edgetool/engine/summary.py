"""The end of a build: verdicts on budgets, the exit code, one line for people and the figures for machines."""

from __future__ import annotations

from collections.abc import Iterator

from edgetool.artifact import JsonValue
from edgetool.config.units import format_bytes, format_seconds
from edgetool.disk import shown
from edgetool.engine.assess import Attempt, blame, footprint, node_counts
from edgetool.engine.deliver import Delivery
from edgetool.engine.events import BuildFinished
from edgetool.engine.outcome import BuildOptions, Candidate, Proof
from edgetool.engine.standing import Choice, standing_lines
from edgetool.errors import BudgetError
from edgetool.exporters.package import Package
from edgetool.validate.budgets import Verdict

_OLD = 3600.0


def finish(
    attempt: Attempt,
    choice: Choice | None,
    delivery: Delivery,
    packages: tuple[Package, ...],
    options: BuildOptions,
    *,
    seconds: float,
) -> BuildFinished:
    """The event that ends a build."""
    target = attempt.plan.target
    allow = options.allow_unverified or target.unverified == "allow"
    code = attempt.assessment.exit_code(target=target.name, allow_unverified=allow)
    return BuildFinished(
        target=target.name,
        exit_code=code,
        summary=_line(attempt, choice, delivery, code),
        remarks=(
            *(_on_choice(choice) if choice else ()),
            *_remarks(attempt, allow=allow),
            *_on_packages(attempt, packages),
        ),
        bundle=str(delivery.bundle),
        content_digest=delivery.content_digest,
        result={
            **_figures(attempt, seconds=seconds),
            **_choice_figures(choice),
            "packages": [row.to_json() for row in packages],
        },
    )


def _line(attempt: Attempt, choice: Choice | None, delivery: Delivery, code: int) -> str:
    target, candidate, proof = attempt.plan.target, attempt.candidate, attempt.proof
    total, elsewhere = node_counts(candidate)
    word = "failed" if code == BudgetError.exit_code else "built"
    precision = candidate.engine.precision
    if choice and choice.name != precision:
        precision = f"{choice.name} ({precision})"
    parts = [f"{word} {target.name}", precision, format_bytes(attempt.assessment.size)]
    if proof.measurement:
        timing = proof.measurement.latency.engine
        parts.append(f"p50 {format_seconds(timing.p50)} (±{timing.spread:.0%})")
    comparison = proof.comparison
    if comparison and comparison.score:
        parts.append(f"{comparison.score.metric} {comparison.score.engine:.4g} (drop {comparison.score.drop:.2%})")
    elif comparison and comparison.cosine is not None:
        parts.append(f"cosine {comparison.cosine:.6f}")
    parts += [f"{what} {format_bytes(size)}" for what in ("flash", "ram") if (size := footprint(candidate, what))]
    parts.append(f"{total - elsewhere}/{total} nodes on {candidate.verdict.accelerator}")
    if attempt.assessment.is_unverified:
        parts.append("unverified")
    if target.stands_in_for:
        parts.append(f"stands in for {', '.join(target.stands_in_for)}")
    if choice and choice.headline:
        parts.append(choice.headline)
    return "  ".join(parts) + f"  → {delivery.bundle}"


def _on_choice(choice: Choice) -> Iterator[str]:
    """One line a candidate, below what decided."""
    if choice.locked:
        yield f"candidate {choice.name}, as edgetool.lock says; the figures of the others are those of the lock"
    elif choice.by == "fewest faults":
        yield f"no candidate holds the budgets; {choice.name} comes nearest and is in the bundle"
    yield from (f"candidate {line}" for line in standing_lines(choice))
    if choice.drifted:
        yield "the machine was not equally busy for all: speeds are compared by the reference that took turns with each"
    if choice.undecided:
        yield "the measurement cannot tell all candidates apart; --latency-time 5s tells them apart better"


def _remarks(attempt: Attempt, *, allow: bool) -> Iterator[str]:
    assessment, target = attempt.assessment, attempt.plan.target
    availability = attempt.candidate.engine.backend.availability
    if availability and availability.builder:
        yield f"built by {availability.builder}: {availability.why_builder}"
    for finding in assessment.failures:
        yield f"failed: {finding}"
    for verdict in assessment.missed:
        yield f"missed: {verdict}"
    for finding in assessment.all_findings:
        if finding.kind == "unproven":
            yield f"unverified: {finding}"
    yield from _on_unverified_budgets(assessment.verdicts, attempt.proof)
    yield from _on_speed(attempt.candidate, attempt.proof)
    if target.stands_in_for:
        yield f"this proves nothing for {', '.join(target.stands_in_for)}: build or validate on the device itself"
    if assessment.is_unverified and not allow:
        yield "exit 9 says that something is unverified; --allow-unverified accepts it"


def _on_packages(attempt: Attempt, packages: tuple[Package, ...]) -> Iterator[str]:
    """Where they are, or why there are none."""
    yield from (f"packaged {shown(row.path)}   {format_bytes(row.size)}" for row in packages)
    wanted = attempt.plan.packages
    if wanted and not packages:
        yield f"not packaged as {', '.join(wanted.exporters)}: what fails its validation or a budget is not shipped"


def _on_unverified_budgets(verdicts: tuple[Verdict, ...], proof: Proof) -> Iterator[str]:
    """One line for all that wait for the engine to run, which the line before them says; one each for the others."""
    waiting = [row for row in verdicts if row.status == "unverified" and proof.why_not and row.reason == proof.why_not]
    if waiting:
        yield f"unverified: {', '.join(row.declared for row in waiting)}, because it was not run"
    for verdict in verdicts:
        if verdict.status == "unverified" and verdict not in waiting:
            yield f"unverified: {verdict}" + (f"; to prove it: {verdict.fix}" if verdict.fix else "")


def _on_speed(candidate: Candidate, proof: Proof) -> Iterator[str]:
    """Whether compression pays, how sure that is, and how old the figures are."""
    if proof.measurement is None:
        return
    latency = proof.measurement.latency
    longer = f"not settled within {latency.seconds:.2g} s, --latency-time {latency.longer}s gives it longer"
    compressed = candidate.engine.precision != "float32"
    if latency.speedup is None:
        if not latency.settled:
            yield f"p50 on {proof.measurement.device}: {longer}"
    elif latency.verdict == "slower" and compressed:
        yield f"slower than float here: {latency.speedup:.2f}x the float reference's speed{blame(proof)}"
    elif compressed:
        ratio = f"{latency.speedup:.2f}x (±{latency.speedup_spread:.0%}) as fast as the float reference here"
        yield ratio if latency.settled else f"{ratio}; {longer}"
    if proof.measurement.age > _OLD:
        yield f"latency measured {proof.measurement.age / 3600:.0f} h ago; --remeasure repeats it"


def _figures(attempt: Attempt, *, seconds: float) -> dict[str, JsonValue]:
    candidate, proof, assessment = attempt.candidate, attempt.proof, attempt.assessment
    total, elsewhere = node_counts(candidate)
    return {
        "backend": candidate.engine.backend.name,
        "precision": candidate.engine.precision,
        "size": assessment.size,
        "nodes": total,
        "off_accelerator_nodes": total if candidate.refused else elsewhere,
        "accelerator": candidate.verdict.accelerator,
        "comparison": proof.comparison.to_json() if proof.comparison else None,
        "latency": proof.measurement.latency.to_json() if proof.measurement else None,
        "flash": footprint(candidate, "flash"),
        "ram": footprint(candidate, "ram"),
        "peak_memory": proof.measurement.peak_memory if proof.measurement else None,
        "evidence": dict(proof.evidence),
        "verdicts": [row.to_json() for row in assessment.verdicts],
        "findings": [row.to_json() for row in assessment.all_findings],
        "unverified": assessment.is_unverified,
        "stands_in_for": list(attempt.plan.target.stands_in_for),
        "refused_backends": [
            {"backend": row.backend, "code": row.code, "reason": row.reason} for row in candidate.refused
        ],
        "seconds": round(seconds, 3),
    }


def _choice_figures(choice: Choice | None) -> dict[str, JsonValue]:
    """With `precision = "auto"`: what was chosen and why, and each candidate with all its figures."""
    if choice is None:
        return {}
    rows: list[JsonValue] = [
        {**row.to_json(), **(choice.moments[row.name].to_json() if row.name in choice.moments else {})}
        for row in choice.standings
    ]
    return {"chosen": choice.name, "chosen_by": choice.by, "locked": choice.locked, "candidates": rows}
