"""SARIF 2.1.0: what is not in order, as code scanning shows it. What passed is left out: each result is an alert."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import edgetool
from edgetool.report.document import Check, Outcome, Report, Summary
from edgetool.report.identity import fingerprint

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS: dict[Outcome, str] = {"failed": "error", "unverified": "warning", "known": "note", "not-run": "note"}

MOST_RESULTS = 5000
"""GitHub takes no more of one run."""


def render(summary: Summary) -> str:
    """One run with a rule for each kind of check."""
    results = [row for report in summary.reports for row in _results(report)]
    rules = {row["ruleId"]: row.pop("_title") for row in results}
    kept = results[:MOST_RESULTS]
    run: dict[str, Any] = {
        "tool": {
            "driver": {
                "name": "edgetool",
                "version": edgetool.__version__,
                "semanticVersion": edgetool.__version__,
                "rules": [
                    {"id": rule, "name": rule.replace("/", "-"), "shortDescription": {"text": title}}
                    for rule, title in sorted(rules.items())
                ],
            }
        },
        "results": kept,
        "columnKind": "unicodeCodePoints",
    }
    if len(results) > len(kept):
        run["properties"] = {"left_out": len(results) - len(kept)}
    document = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _results(report: Report) -> Iterator[dict[str, Any]]:
    for check in report.checks:
        if check.outcome in _LEVELS:
            yield _result(report, check)


def _result(report: Report, check: Check) -> dict[str, Any]:
    helps = f" What helps: {check.fix}" if check.fix else ""
    nodes = [{"name": name, "kind": "object"} for name in check.nodes]
    place: dict[str, Any] = {
        "physicalLocation": {"artifactLocation": {"uri": quote(report.file)}, "region": {"startLine": 1}},
        "logicalLocations": [{"name": report.target, "kind": "module"}, *nodes],
    }
    return {
        "ruleId": check.id,
        "_title": check.title,
        "level": _LEVELS[check.outcome],
        "message": {"text": f"{report.title}: {check.title}: {check.message}.{helps}"},
        "locations": [place],
        **({"baselineState": "unchanged"} if check.outcome == "known" else {}),
        "partialFingerprints": {"edgetool/v1": fingerprint(report, check)},
    }
