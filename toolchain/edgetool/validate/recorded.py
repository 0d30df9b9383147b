"""Comparisons and latencies out of the reports that bundles carry: the inverse of `to_json`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_type_hints

from edgetool.errors import IntegrityError
from edgetool.validate.budgets import Verdict
from edgetool.validate.comparison import Comparison, Score, Trial
from edgetool.validate.difference import Difference
from edgetool.validate.findings import Finding
from edgetool.validate.latency import Latency, Timing

Document = Mapping[str, Any]
Made = TypeVar("Made")


def comparison_from(document: Document, *, where: str) -> Comparison:
    """What `Comparison.to_json` wrote. Raises IntegrityError."""
    return _made(lambda: _comparison(document), where)


def latency_from(document: Document, *, where: str) -> Latency:
    """What `Latency.to_json` wrote. Raises IntegrityError."""
    return _made(lambda: _latency(document), where)


def verdict_from(document: Document, *, where: str) -> Verdict:
    """What `Verdict.to_json` wrote. Raises IntegrityError."""
    return _made(lambda: Verdict(**{**document, "limit": _number(document["limit"])}), where)


def finding_from(document: Document, *, where: str) -> Finding:
    """What `Finding.to_json` wrote. Raises IntegrityError."""
    return _made(lambda: Finding(**document), where)


def _made(make: Callable[[], Made], where: str) -> Made:
    try:
        return make()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IntegrityError(
            "report-invalid",
            f"this report cannot be read: {type(error).__name__}: {error}",
            where=where,
            hint="build the bundle again with this edgetool",
        ) from error


def _comparison(document: Document) -> Comparison:
    score, evaluation = document["score"], document["evaluation"]
    return Comparison(
        precision=document["precision"],
        trials=tuple(_trial(row) for row in document["trials"]),
        score=Score(score["metric"], _number(score["reference"]), _number(score["engine"])) if score else None,
        repeat_difference=_number(document["repeat_difference"]),
        samples=(evaluation["count"], evaluation["digest"]) if evaluation else None,
        findings=tuple(Finding(**row) for row in document["findings"]),
    )


def _trial(document: Document) -> Trial:
    return Trial(
        document["origin"],
        document["shape"],
        document["feeds"],
        tuple(_difference(row) for row in document["outputs"]),
    )


def _difference(document: Document) -> Difference:
    """An output of integers has no ratio of signal to noise, and nothing but equality counts."""
    known = {name: value for name, value in document.items() if name in get_type_hints(Difference)}
    for name in ("max_abs", "relative", "cosine", "cosine_worst", "gain", "equal"):
        known[name] = _number(known[name])
    sqnr = known["sqnr_db"]
    known["sqnr_db"] = math.inf if sqnr is None else float(sqnr)
    return Difference(**{"integral": False, **known})


def _latency(document: Document) -> Latency:
    reference = document["reference"]
    return Latency(
        engine=_timing(document["engine"]),
        reference=_timing(reference) if reference else None,
        speedup=document["speedup"],
        speedup_spread=document["speedup_spread"],
        settled=document["settled"],
        seconds=document["seconds"],
    )


def _timing(document: Document) -> Timing:
    return Timing(
        runs=document["runs"],
        p50=document["p50_s"],
        p90=document["p90_s"],
        p99=document["p99_s"],
        longest=document["longest_s"],
        spread=_number(document["spread"]),
        quantiles=tuple(document.get("quantiles_s", ())),
    )


def _number(value: float | None) -> float:
    """What JSON cannot say is written as null."""
    return math.nan if value is None else float(value)
