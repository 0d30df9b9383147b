"""`edgetool validate` as people and CI run it: models times targets, with a baseline, in every format."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import junitparser
import pytest

from tests.tiny import write_tiny_project

Run = Callable[..., subprocess.CompletedProcess[str]]

TARGETS = """
schema = 1
[model]
name = "{name}"
version = "1.0.0"
source = "model.onnx"
[data]
evaluation = "eval"
[targets.good]
backend = "onnxruntime"
budget = {{ min_cosine = 0.99 }}
[targets.large]
backend = "onnxruntime"
budget = {{ size = "{size}" }}
[targets.ci]
backend = "onnxruntime"
stands_in_for = ["good"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "one").mkdir()
    write_tiny_project(tmp_path / "one", TARGETS.format(name="one", size="1MiB"), calibration=0, evaluation=2)
    return tmp_path / "one"


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A second model whose `large` misses its budget."""
    (tmp_path / "two").mkdir()
    write_tiny_project(tmp_path / "two", TARGETS.format(name="two", size="10B"), calibration=0, evaluation=2)
    return tmp_path / "two"


def cells(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    rows = json.loads(done.stdout)["reports"]
    return {f"{row['model']}/{row['target']}": row["outcome"] for row in rows}


def test_models_times_targets_with_a_baseline(project: Path, other: Path, run_cli: Run, tmp_path: Path) -> None:
    files = ("-f", project / "targets.toml", "-f", other / "targets.toml")
    base = tmp_path / "base.json"
    done = run_cli("validate", *files, "--target", "good", "--target", "large", "-O", "json")
    assert done.returncode == 4, done.stderr
    assert cells(done) == {"one/good": "passed", "one/large": "passed", "two/good": "passed", "two/large": "failed"}
    declared = {row["model"]: row["file"] for row in json.loads(done.stdout)["reports"]}
    assert declared == {name: str(tmp_path / name / "targets.toml") for name in ("one", "two")}
    # What is accepted does not fail any more, in whatever format it is told.
    done = run_cli("validate", *files, "--target", "large", "--baseline", base, "--update-baseline")
    assert done.returncode == 0, done.stderr
    cells_of = json.loads(base.read_text())["cells"]
    assert set(cells_of) == {"one/large", "two/large"}
    assert cells_of["two/large"]["checks"]["budget/size"] == "failed", "the file says what is, not how it was taken"
    assert "failed" not in done.stdout, "the exit code is 0"
    assert "two/large: accepted: budget size" in done.stdout
    assert "2 builds: 1 passed, 1 accepted" in done.stdout
    done = run_cli("validate", *files, "--target", "large", "--baseline", base, "-O", "junit", "-o", tmp_path / "j.xml")
    assert done.returncode == 0, done.stderr
    assert junitparser.JUnitXml.fromfile(str(tmp_path / "j.xml")).failures == 0
    assert "large" in done.stdout, "a log says what a file says"
    # A regression fails although the deviation beside it is known.
    text = (project / "targets.toml").read_text()
    (project / "targets.toml").write_text(text.replace('size = "1MiB"', 'size = "20B"'))
    done = run_cli("validate", *files, "--target", "large", "--baseline", base)
    assert done.returncode == 4, done.stderr
    assert "one/large: regression: budget size was passed" in done.stdout
    assert "two/large: known deviation: budget size" in done.stdout
    assert "2 builds: 1 failed, 1 known" in done.stdout


def test_models_that_are_declared_alike_do_not_take_turns_in_the_cache(
    project: Path, other: Path, run_cli: Run
) -> None:
    files = ("-f", project / "targets.toml", "-f", other / "targets.toml")
    assert run_cli("validate", *files, "-t", "good").returncode == 0
    done = run_cli("validate", *files, "-t", "good")
    assert done.returncode == 0, done.stderr
    rows = [line.split(": ") for line in done.stderr.splitlines()]
    assert {row[0] for row in rows} == {"one/good", "two/good"}, "a line that names its target only is of any model"
    took = {row[2] for row in rows if len(row) == 3 and row[1] != "bundle"}
    assert took == {"cached"}, done.stderr


def test_events_name_their_model(project: Path, other: Path, run_cli: Run) -> None:
    files = ("-f", project / "targets.toml", "-f", other / "targets.toml")
    done = run_cli("validate", *files, "-t", "good", "--json")
    events = [row for row in map(json.loads, done.stdout.splitlines()) if "target" in row]
    assert {(row["model"], row["target"]) for row in events} == {("one", "good"), ("two", "good")}
    alone = run_cli("validate", "-f", project / "targets.toml", "-t", "good")
    assert {line.split(": ")[0] for line in alone.stderr.splitlines()} == {"good"}, "one model needs no name"


def test_every_bad_check_is_told_once_with_what_helps(project: Path, run_cli: Run) -> None:
    budgets = ("--set", "targets.good.budget.size=10B", "--set", "targets.large.budget.max_drop=1%")
    done = run_cli("validate", "-q", "-t", "good", "-t", "large", *budgets, cwd=project)
    assert done.returncode == 4, done.stderr
    assert done.stdout.count("limit 10 B") == 1, "in the table, and not again below it"
    below = done.stdout.splitlines()[3:]
    assert below[0] == "one/good: budget size"
    assert below[1].startswith("  what helps: ")
    assert "one/large: budget max_drop" in below, "what is unproven has its cure, too"
    assert below[3].startswith("  what helps: ")


def test_a_broken_model_leaves_the_others_alone(project: Path, other: Path, run_cli: Run) -> None:
    (project / "model.onnx").write_bytes(b"this is no network")
    done = run_cli(
        "validate", "-f", project / "targets.toml", "-f", other / "targets.toml", "-t", "good", "-t", "ci", "-O", "json"
    )
    assert done.returncode == 3, done.stderr
    assert cells(done) == {"one/good": "failed", "one/ci": "failed", "two/good": "passed", "two/ci": "passed"}
    broken = json.loads(done.stdout)["reports"][0]
    assert broken["error"]["exit_code"] == 3
    assert broken["stands_in_for"] == []


def test_nothing_is_left_behind_unless_it_is_to_be_kept(project: Path, run_cli: Run, tmp_path: Path) -> None:
    before = sorted(path.name for path in project.iterdir())
    assert run_cli("validate", "-t", "good", cwd=project).returncode == 0
    assert sorted(path.name for path in project.iterdir()) == before
    assert run_cli("validate", "-t", "good", "--keep", tmp_path / "kept", cwd=project).returncode == 0
    assert (tmp_path / "kept" / "one-1.0.0-good.edgebundle" / "manifest.json").is_file()


def test_bundles_are_tested_and_reported(project: Path, run_cli: Run, tmp_path: Path) -> None:
    assert run_cli("build", "-t", "good", "-o", tmp_path, cwd=project).returncode == 0
    bundle = tmp_path / "one-1.0.0-good.edgebundle"
    done = run_cli("validate", bundle, "-O", "json")
    assert done.returncode == 0, done.stderr
    checks = {row["id"]: row["outcome"] for row in json.loads(done.stdout)["reports"][0]["checks"]}
    assert checks["self-test"] == "passed"
    done = run_cli("validate", bundle, bundle)
    assert done.stdout.count("golden outputs agree") == 2


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--update-baseline",), "baseline-missing"),
        (("--baseline", "absent.json"), "baseline-not-found"),
        (("--target", "goood"), "unknown-target"),
        (("--reference", "absent.onnx"), "source-not-found"),
        (("x.edgebundle", "--reference", "model.onnx"), "conflicting-options"),
        (("-f", "targets.toml", "-f", "targets.toml", "--reference", "model.onnx"), "conflicting-options"),
        (("--on", "board"), "bundle-missing"),
        (("x.edgebundle", "--target", "good"), "conflicting-options"),
        (("-O", "pdf"), "unknown-report-format"),
        (("--file", "absent.toml"), "targets-file-not-found"),
    ],
)
def test_what_users_get_wrong(arguments: tuple[str, ...], code: str, project: Path, run_cli: Run) -> None:
    done = run_cli("validate", *arguments, cwd=project)
    assert done.returncode == 2
    assert code in done.stderr
    assert "hint: " in done.stderr
