"""The tutorial "your first backend plugin": its files are real, are installed by pip, and build a model."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial"
PAGE = TUTORIAL / "your-first-backend-plugin.md"
EXAMPLE = TUTORIAL / "first_backend"
FILE_BLOCK = re.compile(r"^```\w+ file=(\S+)\n(.*?)^```$", re.M | re.S)
CONSOLE_BLOCK = re.compile(r"^```console(?: exit=(\d+))?\n(.*?)^```$", re.M | re.S)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables of a process that has the plugin installed."""
    site = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--disable-pip-version-check", "--target", site, EXAMPLE], check=True)
    programs = Path(sys.executable).parent
    return {
        **os.environ,
        "PYTHONPATH": str(site),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "NO_COLOR": "1",
    }


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with all files that the page tells to write."""
    for name, text in FILE_BLOCK.findall(PAGE.read_text()):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def _commands() -> list[tuple[str, int]]:
    """Command and expected exit code, in the page's order; pip is run by the fixture instead."""
    found = []
    for code, body in CONSOLE_BLOCK.findall(PAGE.read_text()):
        found += [(line[2:], int(code or 0)) for line in body.splitlines() if line.startswith("$ ")]
    return [row for row in found if not row[0].startswith("pip ")]


def test_page_shows_the_files_as_they_are() -> None:
    shown = dict(FILE_BLOCK.findall(PAGE.read_text()))
    for path in EXAMPLE.iterdir():
        if path.is_file():
            assert shown.pop(f"first_backend/{path.name}") == path.read_text(), f"{path.name} differs from the page"
    assert list(shown) == ["targets.toml"]


def test_two_files_make_a_plugin(environment: dict[str, str]) -> None:
    """Through the installed entry point and the contract alone."""
    program = """
import importlib.metadata, json, tempfile
from pathlib import Path
from edgetool.context import BuildContext
from edgetool.testing import feeds_for, tiny_mlp

(entry,) = [e for e in importlib.metadata.entry_points(group="edgetool") if e.dist.name == "first-backend"]
(info,) = entry.load().edgetool_backends()
module, _, name = info.loader.partition(":")
kind = getattr(importlib.import_module(module), name)
backend, context = kind(kind.Options(store="float16")), BuildContext(threads=1)
with tempfile.TemporaryDirectory() as folder:
    model = tiny_mlp(Path(folder))
    assert backend.supports(model, context).accepted
    (Path(folder) / "engine").mkdir()
    engine = backend.build(model, Path(folder) / "engine", context)
    with backend.open(engine, context) as runner:
        print(json.dumps([info.name, engine.precision, list(runner.infer(feeds_for(model.signature))["y"].shape)]))
"""
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["numpy", "mixed", [1, 3]]


def _run(command: str, project: Path, environment: dict[str, str], *, wanted: int = 0) -> str:
    done = subprocess.run(
        command, shell=True, cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    printed = done.stdout + done.stderr
    assert done.returncode == wanted, f"{command}\nexit {done.returncode}, wanted {wanted}\n{printed}"
    return printed


def test_commands_of_the_page(project: Path, environment: dict[str, str]) -> None:
    rows = [row for row in _commands() if "pytest" not in row[0]]
    listing, _, build, _, refusal = (_run(command, project, environment, wanted=code) for command, code in rows)
    assert "numpy" in listing
    assert "mixed" in build
    assert "stem" in refusal, "the refused convolution is named"
    assert (project / "dist" / "mlp-1.0.0-board.edgebundle" / "manifest.json").is_file()


@pytest.mark.slow
def test_its_own_tests_pass(project: Path, environment: dict[str, str]) -> None:
    (command,) = [command for command, _ in _commands() if "pytest" in command]
    printed = _run(command, project, environment)
    assert " passed" in printed
    assert "failed" not in printed
