"""The generated pages are current, and every block of the how-to does what it says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from edgetool.config.load import load
from edgetool.plugin.manager import load_plugins

DOCS = Path(__file__).parents[2] / "docs"
HOW_TO = (DOCS / "how-to" / "describe-a-target.md").read_text(encoding="utf-8")
TOML = re.findall(r"^```toml\n(.*?)^```", HOW_TO, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^\$ edgetool (.*)$", HOW_TO, re.MULTILINE)


def test_generated_pages_are_current() -> None:
    done = subprocess.run(
        [sys.executable, str(DOCS / "generate.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("text", TOML)
def test_toml_of_the_how_to(write, text: str) -> None:
    config = load(write(text), known_backends=load_plugins().backends)
    assert config.targets
    assert config.warnings == ()


def test_commands_of_the_how_to(tmp_path: Path) -> None:
    """In their order, in one folder: `init` comes first."""
    assert COMMANDS[0].startswith("init ")
    for command in COMMANDS:
        done = subprocess.run(
            [sys.executable, "-m", "edgetool", *shlex.split(command)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"edgetool {command}\n{done.stderr}"
        assert done.stdout
