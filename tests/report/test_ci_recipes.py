"""The recipes for CI systems: their schemas are right, and every command in them runs in a real project."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import junitparser
import pytest
import yaml

from tests.tiny import write_tiny_project

ROOT = Path(__file__).parents[2]
CI = ROOT / "examples" / "ci"
TARGETS = """
schema = 1
[model]
name = "net"
source = "model.onnx"
[data]
evaluation = "eval"
[targets.ci]
backend = "onnxruntime"
stands_in_for = ["board"]
[targets.board]
backend = "openvino"
[targets.open]
backend = "onnxruntime"
budget = { min_metric = "50%" }
"""
INSTALLS = "pip install 'edgetool[onnxruntime,openvino]'"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose baseline was written on its main branch."""
    folder = tmp_path_factory.mktemp("project")
    write_tiny_project(folder, TARGETS, calibration=0, evaluation=2)
    accept = "validate --target ci --baseline baseline.json --update-baseline -q"
    subprocess.run([sys.executable, "-m", "edgetool", *shlex.split(accept)], cwd=folder, check=True)
    return folder


@pytest.fixture
def shell(project: Path, tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Runs a script in the project, where `edgetool` is this one."""
    (tmp_path / "edgetool").write_text(f'#!/bin/sh\nexec {sys.executable} -m edgetool "$@"\n')
    (tmp_path / "edgetool").chmod(0o755)

    def run(script: str) -> subprocess.CompletedProcess[str]:
        summary = tmp_path / "summary.md"
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path), "GITHUB_STEP_SUMMARY": str(summary)}
        environment["EDGETOOL_CACHE_DIR"] = str(project / ".edgetool-cache")
        return subprocess.run(
            ["bash", "-e", "-c", script], cwd=project, env=environment, capture_output=True, text=True, check=False
        )

    return run


Shell = Callable[[str], subprocess.CompletedProcess[str]]


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def github() -> Iterator[str]:
    for step in load(CI / "github" / ".github" / "workflows" / "models.yml")["jobs"]["validate"]["steps"]:
        if "run" in step:
            yield step["run"].strip()


def gitlab() -> Iterator[str]:
    job = load(CI / "gitlab" / ".gitlab-ci.yml")["validate-models"]
    yield from (*job["before_script"], *job["script"], *job["after_script"])


def jenkins() -> Iterator[str]:
    for found in re.findall(r"sh '''(.*?)'''", (CI / "jenkins" / "Jenkinsfile").read_text()):
        yield found.strip()


@pytest.mark.parametrize("commands", [github, gitlab, jenkins])
def test_every_command_of_a_recipe_runs(commands: Callable[[], Iterator[str]], shell: Shell, project: Path) -> None:
    scripts = list(commands())
    assert scripts[0] == INSTALLS
    for script in scripts[1:]:
        done = shell(script)
        assert done.returncode == 0, f"{script}\n{done.stderr}"
    assert junitparser.JUnitXml.fromfile(str(project / "reports" / "junit.xml")).failures == 0
    assert (project / "reports" / "report.html").stat().st_size > 1000


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ("vendor.github-workflows", CI / "github" / ".github" / "workflows" / "models.yml"),
        ("vendor.gitlab-ci", CI / "gitlab" / ".gitlab-ci.yml"),
    ],
)
def test_recipes_hold_to_the_schemas_of_their_systems(schema: str, path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_recipes_collect_is_what_is_written() -> None:
    from edgetool.report.formats import FORMATS

    names = {row.file for row in FORMATS.values()}
    texts = [path.read_text() for path in CI.rglob("*") if path.is_file()]
    collected = {found for text in texts for found in re.findall(r"reports/([\w.-]+)", text)}
    assert collected
    assert collected <= names


def test_the_hooks_that_a_project_names_exist_and_run(shell: Shell) -> None:
    hooks = {row["id"]: row for row in load(ROOT / ".pre-commit-hooks.yaml")}
    (repository,) = load(CI / "pre-commit" / ".pre-commit-config.yaml")["repos"]
    for row in repository["hooks"]:
        hook = hooks[row["id"]]
        files = [] if hook.get("pass_filenames") is False else ["targets.toml"]
        done = shell(shlex.join([*shlex.split(hook["entry"]), *row.get("args", []), *files]))
        assert done.returncode == 0, done.stderr


def test_pytest_finds_the_models(project: Path) -> None:
    done = pytest_in(project, "--edgetool-target", "open")
    assert done.returncode == 1, done.stdout
    assert "unverified: budget min_metric: nothing measured" in done.stdout
    done = pytest_in(project, "--edgetool-target", "open", "--edgetool-allow-unverified")
    assert done.returncode == 0, done.stdout
    done = pytest_in(project, "--edgetool-target", "ci", "--edgetool-baseline", "baseline.json")
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
    assert "no tests ran" in pytest_in(project).stdout


def test_pytest_says_what_failed_without_a_traceback(project: Path, tmp_path: Path) -> None:
    write_tiny_project(tmp_path, TARGETS + '[targets.small]\nbackend = "onnxruntime"\nbudget = { size = "10B" }\n',
                       calibration=0, evaluation=2)  # fmt: skip
    done = pytest_in(tmp_path, "--edgetool-target", "small")
    assert done.returncode == 1
    assert "failed: budget size: " in done.stdout
    assert "Traceback" not in done.stdout
    (tmp_path / "targets.toml").write_text("schema = 1\nwhat = 3\n")
    done = pytest_in(tmp_path, "--edgetool-target", "small")
    assert done.returncode != 0
    assert "unknown-key" in done.stdout


def pytest_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    fixed = ("-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", folder)
    return subprocess.run(
        [sys.executable, "-m", "pytest", *fixed, *arguments, folder], capture_output=True, text=True, check=False,
        cwd=folder,
    )  # fmt: skip
