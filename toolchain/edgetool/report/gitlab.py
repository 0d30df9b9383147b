"""GitLab's Code Quality report: a JSON list that a merge request shows as a widget."""

from __future__ import annotations

import json
from typing import Any

from edgetool.report.document import Check, Outcome, Report, Summary
from edgetool.report.identity import fingerprint

_SEVERITIES: dict[Outcome, str] = {"failed": "critical", "unverified": "minor", "known": "info", "not-run": "info"}


def render(summary: Summary) -> str:
    """What is not in order; an empty list where all is well."""
    rows = [
        _row(report, check) for report in summary.reports for check in report.checks if check.outcome in _SEVERITIES
    ]
    return json.dumps(rows, indent=2, ensure_ascii=False) + "\n"


def _row(report: Report, check: Check) -> dict[str, Any]:
    helps = f" What helps: {check.fix}" if check.fix else ""
    nodes = f" Nodes: {', '.join(check.nodes)}." if check.nodes else ""
    return {
        "description": f"{report.title}: {check.title}: {check.message}.{nodes}{helps}",
        "check_name": check.id,
        "fingerprint": fingerprint(report, check),
        "severity": _SEVERITIES[check.outcome],
        "location": {"path": report.file, "lines": {"begin": 1}},
    }
