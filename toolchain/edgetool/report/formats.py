"""The formats that a report is written in, by the name that `--output-format` takes."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgetool.report.document import Summary

Render = Callable[[Summary], str]


@dataclass(frozen=True, slots=True)
class Format:
    """One format.

    Attributes:
        module: has `render(summary) -> str`; imported when it is used.
        file: the name that CI systems expect, and that `--output` gets when it names a folder.
        reader: who reads it.
    """

    module: str
    file: str
    reader: str

    @property
    def render(self) -> Render:
        found: Render = importlib.import_module(self.module).render
        return found


FORMATS: Mapping[str, Format] = {
    "html": Format("edgetool.report.html", "report.html", "people, in a browser or on paper"),
    "markdown": Format("edgetool.report.markdown", "report.md", "a GitHub step summary, a merge request comment"),
    "json": Format("edgetool.report.as_json", "report.json", "programs; docs/reference/report.schema.json"),
    "junit": Format("edgetool.report.junit", "junit.xml", "Jenkins, GitLab, and most others"),
    "sarif": Format("edgetool.report.sarif", "edgetool.sarif", "code scanning"),
    "github": Format("edgetool.report.github", "annotations.txt", "GitHub Actions: annotations at the job"),
    "gitlab": Format("edgetool.report.gitlab", "gl-code-quality-report.json", "GitLab's Code Quality widget"),
}
