"""GitHub's workflow commands: annotations at a job. It shows ten of a kind and drops the rest without a word."""

from __future__ import annotations

from collections.abc import Iterator

from edgetool.plain_text import counted
from edgetool.report.document import Check, Outcome, Report, Summary

SHOWN = 10
"""Annotations of one kind; the last says what was left out, where there is more."""

_COMMANDS: dict[Outcome, str] = {"failed": "error", "unverified": "warning", "known": "notice", "not-run": "notice"}


def render(summary: Summary) -> str:
    """One line an annotation; one notice where all is well."""
    lines = [line for outcome in _COMMANDS for line in _annotations(summary, outcome)]
    if not lines:
        count = sum(len(report.checks) for report in summary.reports)
        builds = counted(len(summary.reports), "build")
        lines = [f"::notice title=edgetool::{builds}, {'its check' if count == 1 else f'all {count} checks'} passed"]
    return "\n".join(lines) + "\n"


def _annotations(summary: Summary, outcome: Outcome) -> Iterator[str]:
    rows = [(report, check) for report in summary.reports for check in report.checks if check.outcome == outcome]
    shown = rows if len(rows) <= SHOWN else rows[: SHOWN - 1]
    command = _COMMANDS[outcome]
    yield from (_line(command, report, check) for report, check in shown)
    if len(rows) > len(shown):
        titles = ", ".join(sorted({report.title for report, _ in rows[len(shown) :]}))
        yield f"::{command} title=edgetool::{_data(f'{len(rows) - len(shown)} more, of {titles}')}"


def _line(command: str, report: Report, check: Check) -> str:
    helps = f"\nwhat helps: {check.fix}" if check.fix else ""
    nodes = f"\nnodes: {', '.join(check.nodes)}" if check.nodes else ""
    title = _property(f"{report.title}: {check.title}")
    return f"::{command} file={_property(report.file)},title={title}::{_data(check.message + nodes + helps)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
