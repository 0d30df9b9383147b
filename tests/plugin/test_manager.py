"""Plugins are loaded one by one: what is broken, mistyped or claimed twice spoils nothing else."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgetool.backends.base import Backend
from edgetool.errors import ConfigError, UnavailableError
from edgetool.importers.base import Importer
from edgetool.passes.base import Pass
from edgetool.plugin.loading import load_class
from edgetool.plugin.manager import load_plugins
from edgetool.plugin.records import PassInfo
from tests.installed import install_plugin

ROOT = Path(__file__).parents[2]
Cli = Callable[..., subprocess.CompletedProcess[str]]

HEAVY = ("numpy", "onnx", "onnxruntime", "openvino", "torch", "onnx_ir", "onnxscript")

GOOD = """
from edgetool.plugin import PassInfo, hookimpl
@hookimpl
def edgetool_passes():
    return [PassInfo("polish", "make it shine", "good_plugin:Polish")]
"""
PLUGINS = {
    "raises": "raise RuntimeError('no licence')",
    "mistyped": "from edgetool.plugin import hookimpl\n@hookimpl\ndef edgetool_pases():\n    return []\n",
    "wrong-record": "from edgetool.plugin import hookimpl\n@hookimpl\ndef edgetool_passes():\n    return ['polish']\n",
    "late": "from edgetool.plugin import hookimpl\n@hookimpl\ndef edgetool_passes():\n    yield 1/0\n",
    "argument": "from edgetool.plugin import hookimpl\n@hookimpl\ndef edgetool_passes(model):\n    return []\n",
    "exits": "import sys; sys.exit(3)",
}


def _listed(run_cli: Cli, environment: dict[str, str]) -> dict[str, Any]:
    done = run_cli("plugins", "--json", env=environment)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("kind", PLUGINS)
def test_a_broken_plugin_is_one_row(tmp_path: Path, run_cli: Cli, kind: str) -> None:
    install_plugin(tmp_path, "bad", PLUGINS[kind])
    found = _listed(run_cli, install_plugin(tmp_path, "good", GOOD))
    broken = [row for row in found["plugins"] if row["error"]]
    assert [row["name"] for row in broken] == ["bad"]
    names = {row["name"] for row in found["offers"]}
    assert {"polish", "simplify", "onnxruntime", "openvino"} <= names


def test_two_plugins_with_one_name_are_a_conflict_and_nobody_wins(tmp_path: Path, run_cli: Cli) -> None:
    install_plugin(tmp_path, "good", GOOD)
    environment = install_plugin(tmp_path, "other", GOOD)
    found = _listed(run_cli, environment)
    assert list(found["conflicts"]) == ["passes/polish"]
    assert len(found["conflicts"]["passes/polish"]) == 2
    assert "polish" not in {row["name"] for row in found["offers"]}
    (tmp_path / "targets.toml").write_text(
        'schema = 1\n[recipes.r]\npasses = [{use = "polish"}]\n'
        '[targets.t]\nbackend = "onnxruntime"\nrecipe = "r"\n[model]\nsource = "m.onnx"\n'
    )
    (tmp_path / "m.onnx").write_bytes(b"x")
    done = run_cli("build", "--target", "t", cwd=tmp_path, env=environment)
    assert done.returncode == 5
    assert "claimed by good-plugin 1.0" in done.stderr
    assert "pip uninstall" in done.stderr


def test_unknown_names_are_met_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    plugins = load_plugins()
    with pytest.raises(ConfigError, match="unknown pass 'simplfy'") as caught:
        plugins.pass_("simplfy", where="targets.toml")
    assert caught.value.hint is not None
    assert "did you mean 'simplify'" in caught.value.hint


def test_a_class_that_cannot_be_loaded_is_unavailable() -> None:
    with pytest.raises(UnavailableError, match="nowhere"):
        load_class(PassInfo("x", "", "nowhere.at.all:Pass"), Pass)
    with pytest.raises(UnavailableError, match="not a Pass"):
        load_class(PassInfo("x", "", "pathlib:Path"), Pass)


@pytest.mark.parametrize(("kind", "base"), [("importers", Importer), ("passes", Pass), ("backends", Backend)])
def test_every_bundled_record_names_a_class_with_documented_options(kind: str, base: type[Any]) -> None:
    for info in getattr(load_plugins(), kind).values():
        found = load_class(info, base)
        assert info.summary
        for name, field in found.Options.model_fields.items():
            assert field.description, f"{info.name}: option {name} has no description"


def test_folders_entry_points_and_the_wheel_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = {path.parent.name for path in (ROOT / "plugins").glob("*/plugin.py")}
    entry_points = {value.partition(".")[0] for value in project["project"]["entry-points"]["edgetool"].values()}
    wheel = {Path(path).name for path in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    typed = {path.parent.name for path in (ROOT / "plugins").glob("*/py.typed")}
    assert folders == entry_points == wheel - {"edgetool"} == typed
    assert folders <= set(project["tool"]["mypy"]["packages"])
    loaded = {row.module.partition(".")[0] for row in load_plugins().providers if row.distribution == "edgetool"}
    assert loaded == folders


def test_passes_name_no_backend() -> None:
    """In code, that is: a docstring may say where a method was published, or whom a rule suits."""
    for folder in ("edgetool_passes", "edgetool_onnx"):
        for path in (ROOT / "plugins" / folder).rglob("*.py"):
            for text in _code_words(ast.parse(path.read_text())):
                found = re.search("onnxruntime|openvino|tensorrt", text.lower())
                assert not found, f"{path.relative_to(ROOT)} names {text!r}"


def _code_words(tree: ast.Module) -> Iterator[str]:
    """Names, imports, attributes and strings of a module, without docstrings."""
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield ast.unparse(node)
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


def test_plugins_use_the_core_and_never_each_other() -> None:
    folders = {path.parent.name for path in (ROOT / "plugins").glob("*/plugin.py")}
    for folder in folders:
        for path in (ROOT / "plugins" / folder).rglob("*.py"):
            imported = set(re.findall(r"^\s*(?:from|import) (edgetool_\w+)", path.read_text(), re.M))
            assert not imported & (folders - {folder}), path


@pytest.mark.parametrize("command", [["--help"], ["plugins"], ["build", "--help"], ["explain"], ["targets", "list"]])
def test_light_commands_import_nothing_heavy(command: list[str], run_cli: Cli) -> None:
    import sys

    code = (
        "import sys, runpy; sys.argv = ['edgetool', *sys.argv[1:]]\n"
        "try: runpy.run_module('edgetool', run_name='__main__')\n"
        "except SystemExit: pass\n"
        f"print('HEAVY', [name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "HEAVY []" in done.stdout, done.stdout[-300:] + done.stderr[-300:]


def test_requirements_of_records_are_known_modules() -> None:
    plugins = load_plugins()
    for info in (*plugins.backends.values(), *plugins.passes.values(), *plugins.importers.values()):
        for name in info.requires:
            assert name.isidentifier()
            importlib.util.find_spec(name)
