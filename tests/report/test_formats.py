"""The formats for machines, judged by the programs that read them, and what hostile names become in each."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jsonschema
import junitparser
import pytest

from edgetool.cli.report import format_of
from edgetool.report.document import Check, Report, Summary
from edgetool.report.formats import FORMATS
from edgetool.report.github import SHOWN
from edgetool.report.markdown import MOST_BYTES
from edgetool.report.sarif import MOST_RESULTS
from tests.report.conftest import HELD, MISSED, OPEN

SCHEMA_FILE = Path(__file__).parents[2] / "docs" / "reference" / "report.schema.json"
SCHEMA = json.loads(SCHEMA_FILE.read_text())
HOSTILE = "a|b <script>alert(1)</script> `x` 100%\n::error::owned ]]> \x07 \ud800 é, [link](http://x) @all"


def render(name: str, *reports: Report) -> str:
    return FORMATS[name].render(Summary(reports))


@pytest.fixture
def mixed(make_report: Callable[..., Report]) -> Report:
    return make_report(verdicts=(HELD, MISSED, OPEN))


@pytest.fixture
def hostile(mixed: Report) -> Report:
    return replace(mixed, model=HOSTILE, checks=(Check(HOSTILE, HOSTILE, "failed", HOSTILE, HOSTILE, (HOSTILE,)),))


def test_json_holds_to_its_published_schema(mixed: Report) -> None:
    document = json.loads(render("json", mixed))
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert [check["outcome"] for check in document["reports"][0]["checks"]] == [
        "passed", "passed", "failed", "unverified",
    ]  # fmt: skip


def test_the_schema_is_closed(mixed: Report) -> None:
    document = json.loads(render("json", mixed))
    document["reports"][0]["surprise"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate(document)


def test_junit_counts_and_names_every_check(mixed: Report, tmp_path: Path) -> None:
    (tmp_path / "junit.xml").write_text(render("junit", mixed))
    (suite,) = junitparser.JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    assert (suite.tests, suite.failures, suite.skipped, suite.errors) == (4, 1, 1, 0)
    results = {case.name: case.result for case in suite}
    assert results["budget/max_drop"] == []
    assert isinstance(results["budget/size"][0], junitparser.Failure)
    assert results["budget/latency_p99"][0].message.startswith("UNVERIFIED: ")
    assert {row.name: row.value for row in suite.properties()}["precision"] == "int8"


def test_sarif_is_read_by_its_tools(mixed: Report, tmp_path: Path) -> None:
    (tmp_path / "found.sarif").write_text(render("sarif", mixed))
    done = subprocess.run(
        [sys.executable, "-m", "sarif", "--check", "error", "summary", tmp_path / "found.sarif"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert re.search(r"error: 1\b", done.stdout)
    assert re.search(r"warning: 1\b", done.stdout)
    results = json.loads(render("sarif", mixed))["runs"][0]["results"]
    assert [row["ruleId"] for row in results] == ["budget/size", "budget/latency_p99"]


def test_fingerprints_outlive_the_figures(mixed: Report, make_report: Callable[..., Report]) -> None:
    later = make_report(verdicts=(replace(MISSED, measured=3000.0),))
    (one,) = [row for row in json.loads(render("gitlab", mixed)) if row["check_name"] == "budget/size"]
    (other,) = json.loads(render("gitlab", later))
    assert one["fingerprint"] == other["fingerprint"]
    assert one["description"] != other["description"]
    assert {"description", "check_name", "fingerprint", "severity", "location"} == set(one)


def test_sarif_stays_within_what_is_accepted(mixed: Report) -> None:
    many = tuple(Check(f"budget/{index}", "x", "failed", "y") for index in range(MOST_RESULTS + 3))
    run = json.loads(render("sarif", replace(mixed, checks=many)))["runs"][0]
    assert len(run["results"]) == MOST_RESULTS
    assert run["properties"] == {"left_out": 3}


def test_github_gets_ten_annotations_of_a_kind_and_the_last_counts_the_rest(mixed: Report) -> None:
    checks = tuple(Check(f"c/{index}", "x", outcome, "y") for index in range(25) for outcome in ("failed", "not-run"))
    lines = render("github", replace(mixed, checks=checks)).splitlines()
    assert [line.split(" ")[0] for line in lines] == ["::error"] * SHOWN + ["::notice"] * SHOWN
    assert "16 more, of net 1.2.0 for ort" in lines[SHOWN - 1]


def test_github_says_when_all_is_well(make_report: Callable[..., Report]) -> None:
    assert render("github", make_report()) == "::notice title=edgetool::1 build, all 2 checks passed\n"


def test_names_cannot_write_workflow_commands(hostile: Report) -> None:
    text = render("github", hostile)
    assert text.count("\n") == 1
    assert text.startswith("::error file=targets.toml,title=")
    assert "%0A%3A%3Aerror" in text


def test_names_cannot_write_markup(hostile: Report, tmp_path: Path) -> None:
    markdown = render("markdown", hostile)
    assert "<script" not in markdown
    assert not re.search(r"(?<!\\)\[link", markdown)
    assert "\n::error" not in markdown
    assert not re.search(r"(?<!\\)@all", markdown)
    (tmp_path / "junit.xml").write_bytes(render("junit", hostile).encode())
    assert junitparser.JUnitXml.fromfile(str(tmp_path / "junit.xml")).failures == 1


def test_markdown_tells_verdict_budgets_and_what_is_open(mixed: Report) -> None:
    text = render("markdown", mixed)
    assert text.startswith("## ❌ edgetool: failed\n")
    assert "| ❌ | `size` | 2.0 KiB | 1000 B |" in text
    assert "**Not proven**" in text
    assert "build on the device" in text


def test_markdown_stays_below_what_github_shows(mixed: Report) -> None:
    text = render("markdown", *[mixed] * 2000)
    assert len(text.encode()) < MOST_BYTES + 1000
    assert re.search(r"the details of \d+ more builds, left out", text)


def test_the_command_writes_files_and_prints(
    make_report: Callable[..., Report], run_cli: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    make_report()
    bundle = tmp_path / "net-1.2.0-ort.edgebundle"
    done = run_cli("report", bundle, "-O", "junit", "-o", tmp_path / "out")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"wrote {tmp_path}/out/junit.xml\n"
    assert junitparser.JUnitXml.fromfile(str(tmp_path / "out" / "junit.xml")).tests == 2
    done = run_cli("report", bundle, "-O", "html", "-O", "sarif", "-o", tmp_path / "out", "-q")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["edgetool.sarif", "junit.xml", "report.html"]
    done = run_cli("report", bundle, bundle, "-O", "json")
    assert len(json.loads(done.stdout)["reports"]) == 2
    done = run_cli("report", bundle, "-o", tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>"), "the ending names the format"


@pytest.mark.parametrize(
    ("file", "name"),
    [(None, "markdown"), ("reports", "markdown"), ("r.md", "markdown"), ("r.HTML", "html"), ("r.json", "json"),
     ("r.xml", "junit"), ("r.sarif", "sarif"), ("r.txt", "markdown")],
)  # fmt: skip
def test_a_files_ending_names_the_format(file: str | None, name: str) -> None:
    assert format_of(Path(file) if file else None) == name


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("-O", "pdf"), 2, "unknown-report-format"),
        (("-O", "markdwon"), 2, "did you mean markdown?"),
        (("-o", "/proc/report.md"), 10, "error[host-failed]: /proc/report.md: "),
        (("--blame", SCHEMA_FILE), 2, "it has no 'layers'"),
        (("-O", "json", "-O", "html"), 2, "reports-need-folder"),
        (("-O", "json", "-O", "html", "-o", "x.json"), 2, "reports-need-folder"),
    ],
)
def test_what_users_get_wrong(
    arguments: tuple[str | Path, ...],
    code: int,
    said: str,
    make_report: Callable[..., Report],
    run_cli: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    make_report()
    done = run_cli("report", tmp_path / "net-1.2.0-ort.edgebundle", *arguments)
    assert done.returncode == code, done.stderr
    assert said in done.stderr


def test_a_bundle_that_is_nearly_there(
    make_report: Callable[..., Report], run_cli: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    make_report()
    done = run_cli("report", tmp_path / "net-1.2.0-ort.edgebundel")
    assert done.returncode == 2
    assert f"hint: did you mean {tmp_path}/net-1.2.0-ort.edgebundle?" in done.stderr
    done = run_cli("report", tmp_path)
    assert done.returncode == 7
    assert "hint: a bundle is the folder" in done.stderr, "the folder that bundles lie in"


def test_a_damaged_bundle_has_no_report(
    make_report: Callable[..., Report], run_cli: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    make_report()
    bundle = tmp_path / "net-1.2.0-ort.edgebundle"
    (bundle / "model" / "engine.onnx").write_bytes(b"Engine")
    done = run_cli("report", bundle)
    assert (done.returncode, done.stdout) == (7, "")
    assert "bundle-damaged" in done.stderr
