"""`edgetool doctor`: what works on this machine or for one target, and the command that brings what does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.cli.options import DEFAULT_FILE, File, Json, Quiet, Set, Target
from edgetool.cli.output import Output

if TYPE_CHECKING:
    from edgetool.doctor import Finding


def doctor(
    target: Target = None, file: File = None, overrides: Set = None, json: Json = False, quiet: Quiet = False
) -> None:
    """Examine this machine or a target, and say how to mend it.

    Python, threads, memory, cache, plugins, backends and targets; with --target what its backend finds at its site.
    Changes nothing, here or there; exits 0 whatever it finds.
    """
    output = Output(json, quiet)
    if target is None:
        from edgetool.doctor import diagnose

        findings = diagnose(file or DEFAULT_FILE, overrides=overrides or ())
        output.result(_data(findings), _text(findings))
        return
    _examine(output, target, file, overrides or ())


def _examine(output: Output, target: str, file: Path | None, overrides: Sequence[str]) -> None:
    from edgetool.cli.project import open_project
    from edgetool.doctor import examine

    project = open_project(file, overrides=overrides)
    examination = examine(project.config, target, project.plugins)
    backends = {name: found and asdict(found) for name, found in examination.availability.items()}
    data = {"target": target, "backends": backends, **_data(examination.findings)}
    output.result(data, _text(examination.findings))


def _data(findings: Sequence[Finding]) -> dict[str, object]:
    return {"findings": [finding.to_json() for finding in findings]}


def _text(findings: Sequence[Finding]) -> str:
    from edgetool.plain_text import table

    rows: list[tuple[str, ...]] = []
    for finding in findings:
        rows.append((finding.status, finding.what, finding.detail))
        if finding.fix:
            rows.append(("", "", f"-> {finding.fix}"))
    wrong = sum(finding.status != "ok" for finding in findings)
    summary = "all is well" if not wrong else f"{wrong} of {len(findings)} to look at"
    return f"{table(rows)}\n{summary}"
