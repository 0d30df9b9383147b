"""`edgetool doctor`: what works on this machine, and the command that brings what does not."""

from __future__ import annotations

from edgetool.cli.options import DEFAULT_FILE, File, Json, Quiet
from edgetool.cli.output import Output


def doctor(file: File = None, json: Json = False, quiet: Quiet = False) -> None:
    """Examine this machine, and say how to get what is missing.

    Python, threads, memory, cache, plugins, backends and targets. Changes nothing; always exits 0.
    """
    from edgetool.cli.table import table
    from edgetool.doctor import diagnose

    findings = diagnose(file or DEFAULT_FILE)
    rows: list[tuple[str, ...]] = []
    for finding in findings:
        rows.append((finding.status, finding.what, finding.detail))
        if finding.fix:
            rows.append(("", "", f"-> {finding.fix}"))
    wrong = sum(finding.status != "ok" for finding in findings)
    summary = "all is well" if not wrong else f"{wrong} of {len(findings)} to look at"
    Output(json, quiet).result({"findings": [finding.to_json() for finding in findings]}, f"{table(rows)}\n{summary}")
