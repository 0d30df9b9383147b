"""Odd surroundings: closed and narrow streams, missing homes, strange names, small limits, no network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.robust.project import SLOW, Project, one_error

EDGETOOL = f"{sys.executable} -m edgetool"
BUNDLE = "tiny-1.0.0-float.edgebundle"


def _shell(project: Project, script: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", script.replace("edgetool", EDGETOOL)],
        cwd=project.folder,
        env=project.environment(**extra),
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    "closed", ["2>&-", "<&- >&- 2>&-", *(pytest.param(text, marks=SLOW) for text in ("<&-", ">&-"))]
)
def test_closed_streams(project: Project, warm: Project, closed: str) -> None:
    done = _shell(warm, f"edgetool build -t float --output {project.folder / 'dist'} {closed}")
    assert done.returncode == 0, done.stderr
    assert (project.folder / "dist" / BUNDLE).is_dir()
    assert "Traceback" not in done.stderr


def test_a_reader_that_goes_away(warm: Project) -> None:
    for command in ("build -t float --json", "cache ls", "--help", "explain disk-full", "targets list"):
        done = _shell(warm, f"edgetool {command} | head -0")
        assert "Traceback" not in done.stderr, command
        assert "Exception" not in done.stderr, command


def test_a_full_disk_behind_stdout(warm: Project) -> None:
    done = _shell(warm, "edgetool build -t float > /dev/full")
    assert done.returncode == 10
    one_error(done.stderr, "disk-full")


@pytest.mark.parametrize(
    "locale", [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"PYTHONIOENCODING": "latin1"}]
)
def test_streams_that_know_few_characters(warm: Project, locale: dict[str, str]) -> None:
    for options in ((), ("--dry-run",)):
        done = warm.build(*options, **locale)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    done = warm.build("--json", **locale)
    assert [json.loads(line)["event"] for line in done.stdout.splitlines()][-1] == "result"


@pytest.mark.parametrize(
    "name",
    [
        *(pytest.param(text, marks=SLOW) for text in ("a b", "-o", "a\nb", "n" * 200)),
        "späße-日本",
        "$(touch pwned);'\"`&|*?[x]",
    ],
)
def test_strange_names_of_folders(project: Project, tmp_path: Path, name: str) -> None:
    strange = tmp_path / name
    shutil.copytree(project.folder, strange)
    done = Project(strange, project.cache).build("--output", f"./{name}")
    assert done.returncode == 0, done.stderr
    assert (strange / name / BUNDLE).is_dir()
    assert not list(tmp_path.rglob("pwned"))


def test_a_project_behind_links(project: Project, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(project.folder, target_is_directory=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "linked.toml").symlink_to(project.folder / "targets.toml")
    first = Project(tmp_path / "link", project.cache).build("--output", tmp_path / "one")
    assert first.returncode == 0, first.stderr
    again = Project(project.folder, project.cache).build("--output", tmp_path / "two")
    assert "import: cached" in again.stderr, "the way to a project is no part of it"
    beside = Project(tmp_path / "elsewhere", project.cache).build("--file", "linked.toml")
    assert beside.returncode in (0, 2), beside.stderr
    assert "Traceback" not in beside.stderr


@SLOW
def test_a_relative_cache_is_relative_to_the_working_directory(project: Project) -> None:
    done = project.build(EDGETOOL_CACHE_DIR="here/cache")
    assert done.returncode == 0, done.stderr
    assert (project.folder / "here" / "cache" / "v1" / "entries").is_dir()


def test_a_working_directory_that_is_gone(warm: Project, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    script = f"cd {tmp_path / 'gone'} && rmdir ../gone && edgetool build -t float --file {warm.folder}/targets.toml"
    done = _shell(warm, script)
    assert done.returncode == 10, done.stderr
    one_error(done.stderr, "host-failed")


@SLOW
def test_without_a_home(project: Project) -> None:
    environment = {name: value for name, value in project.environment().items() if name != "HOME"}
    command = [sys.executable, "-m", "edgetool", "build", "-t", "float"]
    done = subprocess.run(command, cwd=project.folder, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_home_that_cannot_be_written(project: Project) -> None:
    environment = {**project.environment(), "HOME": "/proc/nobody"}
    del environment["EDGETOOL_CACHE_DIR"]
    environment.pop("XDG_CACHE_HOME", None)
    command = [sys.executable, "-m", "edgetool", "build", "-t", "float"]
    done = subprocess.run(command, cwd=project.folder, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 10
    assert "EDGETOOL_CACHE_DIR" in done.stderr
    one_error(done.stderr, "host-failed")


@pytest.mark.parametrize("limit", [12, pytest.param(10, marks=SLOW), pytest.param(16, marks=SLOW)])
def test_few_file_descriptors(project: Project, limit: int) -> None:
    done = _shell(project, f"ulimit -n {limit}; edgetool build -t float")
    assert done.returncode in (0, 10), done.stderr
    if done.returncode:
        one_error(done.stderr, "host-failed")
        assert "ulimit -n" in done.stderr


@pytest.mark.parametrize("target", ["float", "openvino"])
@pytest.mark.parametrize("megabytes", [150, pytest.param(40, marks=SLOW), pytest.param(90, marks=SLOW)])
def test_too_little_memory_is_said_to_be_that(project: Project, target: str, megabytes: int) -> None:
    done = project.build("--set", f"targets.{target}.builder.memory={megabytes}MiB", target=target)
    assert done.returncode == 10, done.stderr
    one_error(done.stderr, "out-of-memory")


def test_too_little_time_is_said_to_be_that(project: Project) -> None:
    done = project.build("--set", "targets.float.builder.timeout=0.2s")
    assert done.returncode == 10
    one_error(done.stderr, "step-timed-out")


@pytest.mark.parametrize("target", ["float", "openvino"])
def test_nothing_is_sent_and_nothing_is_kept_in_the_home(project: Project, tmp_path: Path, target: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    extra = {"HOME": str(home), "XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": ""}
    command = [sys.executable, "-m", "edgetool", "build", "-t", target, "--latency-time", "0.05s"]
    if os.geteuid() == 0 and _can_unshare():
        command = ["unshare", "-n", *command]
    done = subprocess.run(
        command, cwd=project.folder, env=project.environment(**extra), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert [path.relative_to(home).as_posix() for path in home.rglob("*")] == []


def _can_unshare() -> bool:
    return shutil.which("unshare") is not None and subprocess.run(["unshare", "-n", "true"]).returncode == 0
