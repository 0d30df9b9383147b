"""`pytest --edgetool-target ci`: every targets.toml that pytest finds becomes a test for each named target.

For teams that keep models under test beside their code. Without the option it does nothing, and imports nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from edgetool.report.document import Report

FILE = "targets.toml"


class ValidationError(Exception):
    """A target whose validation did not pass; holds its report."""

    def __init__(self, report: Report) -> None:
        super().__init__(report.headline)
        self.report = report


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("edgetool", "models under test")
    group.addoption(
        "--edgetool-target", action="append", default=[], metavar="NAME",
        help="build and validate this target of every targets.toml; repeatable, `all` takes every target",
    )  # fmt: skip
    group.addoption(
        "--edgetool-baseline", type=Path, metavar="FILE.json", help="what was accepted before; see edgetool validate"
    )
    group.addoption(
        "--edgetool-allow-unverified", action="store_true", help="what cannot be proven here passes, and says so"
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A collector for each targets file, where a target is asked for."""
    if file_path.name == FILE and parent.config.getoption("--edgetool-target"):
        return TargetsFile.from_parent(parent, path=file_path)
    return None


class TargetsFile(pytest.File):
    """One targets.toml: one model."""

    def collect(self) -> Iterator[TargetItem]:
        from edgetool.cli.project import open_project

        wanted = self.config.getoption("--edgetool-target")
        for name in open_project(self.path).config.targets:
            if name in wanted or "all" in wanted:
                yield TargetItem.from_parent(self, name=name)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        return _told(excinfo.value) or str(super().repr_failure(excinfo))


class TargetItem(pytest.Item):
    """One target of one model."""

    def runtest(self) -> None:
        """Build and validate it, from the cache where nothing changed. Raises ValidationError."""
        from edgetool.cli.matrix import Question, run_matrix
        from edgetool.cli.output import Output
        from edgetool.emulate.cells import wish_of
        from edgetool.engine.outcome import BuildOptions
        from edgetool.report.baseline import read_baseline

        path = self.config.getoption("--edgetool-baseline")
        allow = self.config.getoption("--edgetool-allow-unverified")
        options = BuildOptions(Path(), allow_unverified=allow)
        question = Question((self.path,), (self.name,), (), 1, None, options, wish_of((), sweep=False))
        baseline = read_baseline(path) if path else None
        answer = run_matrix(question, Output(quiet=True), baseline=baseline, where=str(path))
        (report,) = answer.summary.reports
        for row in report.unproven:
            self.add_report_section("call", "not proven", row.what)
        if answer.exit_code:
            raise ValidationError(report)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        return _told(excinfo.value) or str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, f"edgetool target {self.name}"


def _told(error: BaseException) -> str | None:
    """What failed and what helps, in place of a traceback; None for what is a bug."""
    from edgetool.errors import EdgetoolError

    if isinstance(error, ValidationError):
        rows = [check for check in error.report.checks if check.outcome != "passed"]
        lines = [f"{row.outcome}: {row.title}: {row.message}" + (f"\n  {row.fix}" if row.fix else "") for row in rows]
        return "\n".join([f"{error.report.title}: {error.report.outcome}", *lines])
    if isinstance(error, EdgetoolError):
        return f"error[{error.code}]: {error}" + (f"\n  hint: {error.hint}" if error.hint else "")
    return None
