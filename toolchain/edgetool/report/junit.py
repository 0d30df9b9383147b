"""JUnit XML: one suite a model and target, one case a check. Jenkins, GitLab and most others read it.

What is unverified is a skipped case with `UNVERIFIED` before its message, not a failed one: whether it fails the job is
decided by the exit code (9, or 0 with `--allow-unverified`).
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator

from edgetool.report.document import Check, Report, Summary

_IMPOSSIBLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SKIPPED = {"unverified": "UNVERIFIED", "known": "KNOWN", "not-run": "NOT RUN"}


def render(summary: Summary) -> str:
    """The document, with its XML declaration."""
    root = ET.Element("testsuites", _counts(check for report in summary.reports for check in report.checks))
    root.set("name", "edgetool")
    for report in summary.reports:
        root.append(_suite(report))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(report: Report) -> ET.Element:
    suite = ET.Element("testsuite", {"name": _clean(report.title), **_counts(iter(report.checks))})
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(report):
        ET.SubElement(properties, "property", {"name": name, "value": _clean(value)})
    for check in report.checks:
        suite.append(_case(report, check))
    return suite


def _case(report: Report, check: Check) -> ET.Element:
    name, seconds = _clean(check.id), f"{check.figures.get('seconds', 0):g}"
    place = _clean(f"{report.model}.{report.target}")
    case = ET.Element("testcase", {"classname": place, "name": name, "time": seconds})
    message = _clean(check.message)
    if check.outcome == "failed":
        failure = ET.SubElement(case, "failure", {"type": name, "message": message})
        failure.text = _clean("\n".join(_details(check)))
    elif check.outcome in _SKIPPED:
        ET.SubElement(case, "skipped", {"message": f"{_SKIPPED[check.outcome]}: {message}"})
    if check.outcome == "passed" or check.fix:
        ET.SubElement(case, "system-out").text = _clean("\n".join(_details(check)))
    return case


def _details(check: Check) -> Iterator[str]:
    yield f"{check.title}: {check.message}"
    if check.nodes:
        yield f"nodes: {', '.join(check.nodes)}"
    if check.fix:
        yield f"what helps: {check.fix}"


def _properties(report: Report) -> Iterator[tuple[str, str]]:
    yield "outcome", report.outcome
    for name in ("backend", "precision", "runtime", "bundle", "content_digest", "size"):
        if value := getattr(report, name):
            yield name, str(value)
    if report.latency is not None:
        yield "latency_p50_s", f"{report.latency.engine.p50:.6g}"
        yield "latency_p99_s", f"{report.latency.engine.p99:.6g}"
    for row in report.unproven:
        yield "unproven", row.what


def _counts(checks: Iterator[Check]) -> dict[str, str]:
    outcomes = [check.outcome for check in checks]
    skipped = sum(outcome in _SKIPPED for outcome in outcomes)
    failures = outcomes.count("failed")
    return {"tests": str(len(outcomes)), "failures": str(failures), "errors": "0", "skipped": str(skipped), "time": "0"}


def _clean(text: str) -> str:
    """Without the characters that no XML 1.0 document can hold."""
    return _IMPOSSIBLE.sub("\N{REPLACEMENT CHARACTER}", text)
