"""`edgetool inspect` lets plugins describe the files that they recognise: by content, not by name."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgetool.testing.models import tiny_cnn
from tests.installed import install_plugin

Cli = Callable[..., subprocess.CompletedProcess[str]]

PLUGIN = """
from edgetool.plugin import FileInfo, hookimpl
@hookimpl
def edgetool_files():
    return [FileInfo("tape", "magnetic tapes", "tape_plugin:describe", suffixes=(".tape",))]

def describe(path):
    from edgetool.description import Description
    head = path.read_bytes()[:8]
    if head.startswith(b"RAISE"):
        raise RuntimeError("the drive is jammed")
    if head.startswith(b"WRONG"):
        return {"kind": "tape"}
    return Description("tape", rows=(("length", "20 m"),), facts={"metres": 20}) if head == b"TAPE" else None
"""


@pytest.fixture
def inspect(tmp_path: Path, run_cli: Cli) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Writes a file and inspects it, with the plugin for tapes installed."""
    environment = install_plugin(tmp_path, "tape", PLUGIN)

    def run(name: str, data: bytes, *options: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / name).write_bytes(data)
        return run_cli("inspect", name, *options, cwd=tmp_path, env=environment)

    return run


@pytest.mark.parametrize("name", ["a.tape", "renamed.bin", "mistaken.onnx"])
def test_the_content_decides_who_describes_a_file(inspect: Cli, name: str) -> None:
    done = inspect(name, b"TAPE")
    assert done.returncode == 0, done.stderr
    assert "4 B, tape" in done.stdout
    assert "length  20 m" in done.stdout
    assert json.loads(inspect(name, b"TAPE", "--json").stdout)["metres"] == 20


def test_onnx_is_shown_as_ever(inspect: Cli, tmp_path: Path) -> None:
    done = inspect("net.onnx", tiny_cnn(tmp_path).path.read_bytes())
    assert done.returncode == 0, done.stderr
    assert "opsets" in done.stdout


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"", "the file is empty"), (b"\x89PNG", "a PNG image"), (b"\x08\x08\x12", "an ONNX model"), (b"\1\2", "nothing")],
)
def test_a_name_that_promises_something_else_is_refused(inspect: Cli, data: bytes, says: str) -> None:
    done = inspect("a.tape", data)
    assert done.returncode == 3
    assert "not-as-named" in done.stderr
    assert says in done.stderr


@pytest.mark.parametrize(
    ("data", "code", "says"), [(b"RAISE", "plugin-failed", "jammed"), (b"WRONG", "plugin-broken", "returned dict")]
)
def test_a_plugin_that_misbehaves_is_named(inspect: Cli, data: bytes, code: str, says: str) -> None:
    done = inspect("a.tape", data)
    assert done.returncode == 5
    assert f"error[{code}]" in done.stderr
    assert says in done.stderr
    assert "tape_plugin:describe" in done.stderr


def test_plugins_lists_what_files_it_can_describe(run_cli: Cli, inspect: Cli, tmp_path: Path) -> None:
    done = run_cli("plugins", env={"PYTHONPATH": str(tmp_path)})
    assert "file      tape" in done.stdout
