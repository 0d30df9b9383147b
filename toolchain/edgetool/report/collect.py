"""Reads a report out of a bundle, or out of the error that came instead of one."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pydantic

from edgetool.bundle.layout import VALIDATION
from edgetool.bundle.manifest import Manifest, StepRecord
from edgetool.bundle.read import Bundle
from edgetool.bundle.verify import MEASUREMENTS
from edgetool.config.units import format_bytes
from edgetool.errors import EdgetoolError, IntegrityError
from edgetool.report.document import Check, FitRow, Footprint, MemoryPeak, Outcome, PassRow, Placement, Report, Unproven
from edgetool.validate.budgets import ACCURACY, Verdict, format_quantity
from edgetool.validate.comparison import Comparison
from edgetool.validate.findings import Finding
from edgetool.validate.latency import Latency
from edgetool.validate.recorded import comparison_from, finding_from, latency_from, verdict_from

_OF_VERDICT: Mapping[str, Outcome] = {"held": "passed", "missed": "failed", "unverified": "unverified"}
_OF_FINDING: Mapping[str, Outcome] = {"failure": "failed", "unproven": "unverified", "remark": "passed"}

_BITS: Mapping[str, str] = {
    "bf16": "bfloat16, which keeps 8 significant bits of a number where float32 keeps 24",
    "f16": "float16, which keeps 11 significant bits of a number where float32 keeps 24",
}


def report_of(bundle: Bundle) -> Report:
    """What the build found out and wrote into the bundle; nothing is run.

    Raises:
        IntegrityError: the reports in the bundle cannot be read.
    """
    try:
        report = _report(bundle)
        _check_types(report)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        reason = str(error).splitlines()[:2] or [type(error).__name__]
        raise _unreadable(bundle, "reports", ": ".join(reason)[:200]) from error
    return report


def _check_types(report: Report) -> None:
    """Whoever sealed the bundle may have written values of any type; the formats rely on those that are declared."""
    parts: tuple[tuple[type, tuple[Any, ...]], ...] = (
        (Check, report.checks),
        (Verdict, report.budgets),
        (Comparison, (report.comparison,)),
        (Latency, (report.latency,)),
        (Placement, (report.placement,)),
        (FitRow, report.fits),
        (MemoryPeak, (report.memory_peak,)),
        (Unproven, report.unproven),
    )
    for kind, rows in parts:
        if found := [dataclasses.asdict(row) for row in rows if row is not None]:
            pydantic.TypeAdapter(list[kind]).validate_python(found)  # type: ignore[valid-type]
    pydantic.TypeAdapter(int | None).validate_python(report.peak_memory)


def _report(bundle: Bundle) -> Report:
    """Raises IntegrityError, and what comes of values that have another type than the build writes."""
    manifest, where = bundle.manifest, str(bundle.path)
    validation, measurements = _document(bundle, VALIDATION), _document(bundle, MEASUREMENTS)
    comparison = comparison_from(validation["comparison"], where=where) if validation.get("comparison") else None
    latency = latency_from(measurements["latency"], where=where) if measurements.get("latency") else None
    budgets = tuple(
        verdict_from(row, where=where) for row in (*validation.get("verdicts", ()), *measurements.get("verdicts", ()))
    )
    unproven = tuple(finding_from(row, where=where) for row in validation.get("unproven", ()))
    placement, fit = validation.get("placement"), validation.get("fit") or {}
    return Report(
        model=manifest.name,
        version=manifest.version,
        target=manifest.target.name,
        bundle=bundle.path.absolute().name,
        content_digest=bundle.content_digest,
        backend=manifest.backend.name,
        runtime=manifest.runtime.version,
        precision=manifest.precision,
        size=sum(record.size for record in manifest.files if record.role == "model"),
        peak_memory=measurements.get("peak_memory_bytes"),
        checks=tuple(_checks(manifest, validation, comparison, budgets, unproven)),
        budgets=budgets,
        findings=tuple(str(row) for row in comparison.findings) if comparison else (),
        comparison=comparison,
        latency=latency,
        measured=_measured(measurements),
        yardstick=_yardstick(validation, measurements),
        passes=tuple(_pass(row) for row in manifest.passes),
        lowerings=tuple(f"{row.name}: {row.summary} ({row.count})" for row in manifest.lowerings),
        placement=_placement(placement) if placement else None,
        fits=tuple(FitRow(**row) for row in fit.get("rows", ())),
        memory_peak=_peak(fit.get("need")),
        unproven=tuple(_unproven(budgets, comparison, unproven)),
        signature=dataclasses.asdict(manifest.signature),
        facts=dict(manifest.target.facts),
        environment=dict(manifest.tools),
        source=dataclasses.asdict(manifest.source),
        stands_in_for=manifest.stands_in_for,
    )


def report_of_error(error: EdgetoolError, *, model: str, version: str, target: str) -> Report:
    """A build that ended before there was a bundle."""
    check = Check(f"build/{error.code}", "build", "failed", str(error), error.hint)
    return Report(
        model=model,
        version=version,
        target=target,
        checks=(check,),
        error={
            "code": error.code,
            "message": error.message,
            "where": error.where,
            "hint": error.hint,
            "exit_code": error.exit_code,
        },
    )


def _document(bundle: Bundle, path: str) -> Mapping[str, Any]:
    try:
        found = json.loads((bundle.path / path).read_bytes())
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise _unreadable(bundle, path, str(error)[:200]) from error
    if not isinstance(found, dict):
        raise _unreadable(bundle, path, "it is not an object")
    return found


def _unreadable(bundle: Bundle, path: str, reason: str) -> IntegrityError:
    return IntegrityError(
        "report-invalid",
        f"this report cannot be read: {reason}",
        where=str(bundle.path / path),
        hint="build the bundle again with this edgetool",
    )


def _checks(
    manifest: Manifest,
    validation: Mapping[str, Any],
    comparison: Comparison | None,
    budgets: tuple[Verdict, ...],
    unproven: tuple[Finding, ...],
) -> Iterator[Check]:
    # What was found before the figures in short: the first failure is what a headline shows.
    for finding in (*(comparison.findings if comparison else ()), *unproven):
        if finding.kind != "remark":
            name = f"validation/{finding.code}" + (f"/{finding.where}" if finding.where else "")
            fix = _of_precision(manifest) if finding.code == "drifted" else None
            yield Check(name, finding.code.replace("-", " "), _OF_FINDING[finding.kind], str(finding), fix)
    yield _of_comparison(validation, comparison)
    yield from (_of_budget(row, manifest) for row in budgets)
    yield from (_of_fit(row) for row in (validation.get("fit") or {}).get("rows", ()))
    for row in validation.get("warnings", ()):
        yield Check(
            "backend/warning", "warning of the backend", "passed", row["reason"], row["fix"], tuple(row["nodes"])
        )
    for index, fallback in enumerate(manifest.fallback):
        yield Check(
            f"fallback/{index}", f"backend {fallback.backend}", "unverified", f"gave no engine: {fallback.reason}"
        )


def _of_comparison(validation: Mapping[str, Any], comparison: Comparison | None) -> Check:
    title = "engine against the float reference"
    if comparison is None:
        return Check("validation", title, "unverified", f"not run: {validation.get('not_run') or 'no comparison'}")
    if comparison.score is not None:
        score = comparison.score
        text = f"{score.metric} {score.engine:.4g}, float {score.reference:.4g}"
    elif comparison.cosine is not None:
        text = f"cosine {comparison.cosine:.6f} on the user's samples"
    else:
        text = f"{len(comparison.trials)} groups of feeds compared"
    return Check("validation", title, comparison.status, text)


def _of_budget(verdict: Verdict, manifest: Manifest) -> Check:
    limit = format_quantity(verdict.limit, verdict.unit)
    measured = "nothing measured" if verdict.measured is None else format_quantity(verdict.measured, verdict.unit)
    message = f"{measured}, limit {limit}" + (f": {verdict.reason}" if verdict.reason else "")
    fix = verdict.fix
    if fix is None and verdict.status == "missed":
        tune = f"edgetool tune --target {manifest.target.name} searches for a recipe that holds every budget"
        fix = _of_precision(manifest) if verdict.name in ACCURACY else tune
    return Check(f"budget/{verdict.name}", f"budget {verdict.name}", _OF_VERDICT[verdict.status], message, fix)


def _of_precision(manifest: Manifest) -> str | None:
    """What cures drift where the backend was told to compute in less than float32, whatever the network says."""
    backend = manifest.backend
    for name, value in backend.options.items():
        if name.endswith("precision") and (said := _BITS.get(str(value))):
            table = f"[targets.{manifest.target.name}.{backend.name}]"
            return f'{table} {name} = "{value}" computes in {said}: {name} = "f32" keeps what float32 keeps'
    return None


def _of_fit(row: Mapping[str, Any]) -> Check:
    message = f"needs at least {format_bytes(row['need'])} ({row['parts']}) of {format_bytes(row['limit'])}"
    fix = None if row["fits"] else "compress it further, tune for smaller dimensions, or choose a larger device"
    return Check(f"fit/{row['name']}", f"fits into {row['name']}", "passed" if row["fits"] else "failed", message, fix)


def _peak(need: Mapping[str, Any] | None) -> MemoryPeak | None:
    if not need or need.get("activations") is None:
        return None
    tensors = tuple((str(name), int(size)) for name, size in need["tensors"])
    return MemoryPeak(need["node"], need["activations"], tensors)


def _measured(measurements: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("device", "measured_at", "conditions", "why_not")
    return {**{key: measurements[key] for key in keys if measurements.get(key)}, **measurements.get("host", {})}


def _yardstick(validation: Mapping[str, Any], measurements: Mapping[str, Any]) -> str | None:
    """Of what runs beside the engine: when all of it stays the same, so does its time on one machine."""
    network = (validation.get("reference") or {}).get("model_sha256")
    if network is None or not measurements.get("latency"):
        return None
    parts = (network, measurements.get("reference_runtime"), (measurements.get("host") or {}).get("threads"))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _pass(record: StepRecord) -> PassRow:
    facts = {name: value for name, value in record.facts.items() if name != "footprint"}
    sizes = record.facts.get("footprint") or {}
    before, after = (Footprint(**sizes[side]) if sizes.get(side) else None for side in ("before", "after"))
    return PassRow(record.name, dict(record.options), record.changed, facts, before, after)


def _placement(document: Mapping[str, Any]) -> Placement:
    return Placement(
        document["accelerator"],
        document["nodes"],
        document["off_accelerator_nodes"],
        tuple(document.get("off_accelerator", ())),
    )


def _unproven(
    budgets: tuple[Verdict, ...], comparison: Comparison | None, unproven: tuple[Finding, ...]
) -> Iterator[Unproven]:
    for finding in (*(comparison.findings if comparison else ()), *unproven):
        if finding.kind == "unproven":
            what, _, how = str(finding).partition("; to prove it: ")
            yield Unproven(what, how or None)
    for verdict in budgets:
        if verdict.status == "unverified":
            yield Unproven(f"budget {verdict}", verdict.fix)
