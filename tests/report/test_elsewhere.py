"""What other processors gave is told in numbers, with what it proves, in every format that has room for it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import junitparser
import pytest

from edgetool.report.document import Check, Report, Summary
from edgetool.report.formats import FORMATS

FIGURES = {"golden": 1, "samples": 8, "cosine": 0.99987, "max_abs": 0.125, "seconds": 31.4}
REPORT = Report(
    model="net",
    version="1.0.0",
    target="ov",
    checks=(
        Check("validation", "engine against the float reference", "passed", "cosine 1"),
        Check("emulation/denverton", "on denverton", "passed", "they agree", figures=FIGURES),
        Check("isa/avx512", "instruction sets up to avx512", "not-run", "this machine has none", "another machine"),
    ),
)


def render(name: str, report: Report = REPORT) -> str:
    return FORMATS[name].render(Summary((report,)))


@pytest.mark.parametrize("name", ["html", "markdown"])
def test_people_read_one_row_a_processor(name: str) -> None:
    text = render(name)
    for part in ("Other processors", "on denverton", "0.999870", "0.125", "31.4 s", "instruction sets up to avx512"):
        assert part in text
    assert "nothing about time" in text or "not time" in text
    assert "Other processors" not in render(name, Report(model="net", version="1", target="ov"))


def test_annotations_point_at_the_file_that_declares_the_target() -> None:
    report = replace(REPORT, file="nets/my net/targets.toml")
    assert "::notice file=nets/my net/targets.toml,title=" in render("github", report)
    assert json.loads(render("gitlab", report))[0]["location"]["path"] == "nets/my net/targets.toml"
    (result,) = json.loads(render("sarif", report))["runs"][0]["results"]
    place = result["locations"][0]["physicalLocation"]["artifactLocation"]
    assert place == {"uri": "nets/my%20net/targets.toml"}


def test_programs_read_the_numbers(tmp_path: Path) -> None:
    checks = {row["id"]: row for row in json.loads(render("json"))["reports"][0]["checks"]}
    assert checks["emulation/denverton"]["figures"] == FIGURES
    assert checks["isa/avx512"]["figures"] == {}
    (tmp_path / "junit.xml").write_text(render("junit"))
    (suite,) = junitparser.JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    cases = {case.name: case for case in suite}
    assert (cases["emulation/denverton"].time, cases["validation"].time) == (31.4, 0)
    assert cases["isa/avx512"].result[0].message == "NOT RUN: this machine has none"
