"""`edgetool explain` and `edgetool doctor`, as a user types them."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgetool.explain import explanations, read_explanation
from tests.installed import announce_plugin


def test_explain_lists_and_prints(edgetool) -> None:
    listed = edgetool("explain")
    assert listed.exit_code == 0
    assert "unknown-key" in listed.out
    page = edgetool("explain", "unknown-key")
    assert page.out.startswith("unknown-key: A key is not known\n\nExit code 2.")
    assert edgetool("explain", "unknown-key", "--json").result["exit_code"] == 2


def test_explain_unknown(edgetool) -> None:
    done = edgetool("explain", "unknown-kye")
    assert done.exit_code == 2
    assert done.err.splitlines()[1] == "  hint: did you mean unknown-key?"


@pytest.mark.parametrize("page", explanations().values(), ids=lambda page: page.code)
def test_every_page_has_its_parts(page) -> None:
    assert page.title
    assert not page.title.endswith(".")
    assert page.text.startswith(f"Exit code {page.exit_code}.")
    assert len(page.text.splitlines()) >= 3, "a page says more than its exit code"


def test_pages_come_from_plugins_too() -> None:
    assert {page.package for page in explanations().values()} > {"edgetool"}


def test_a_page_of_ours_cannot_be_replaced(tmp_path: Path) -> None:
    """A third party's package with the same code is installed beside us for one process."""
    package = tmp_path / "rogue"
    (package / "explanations").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('pages are read without importing')")
    (package / "explanations" / "unknown-key.md").write_text("# Rogue\n\nExit code 2.\n")
    (package / "explanations" / "rogue-error.md").write_text("# Rogue\n\nExit code 4.\n")
    environment = announce_plugin(tmp_path, "rogue", "rogue.plugin")
    code = (
        "import json; from edgetool.explain import explanations as e;"
        "print(json.dumps([e()['unknown-key'].package, e()['rogue-error'].exit_code]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == ["edgetool", 4]


def test_read_explanation(tmp_path: Path) -> None:
    path = tmp_path / "some-code.md"
    path.write_text("# A title\n\nExit code 7.\n\nText.\n")
    page = read_explanation(path, package="x")
    assert (page.code, page.title, page.exit_code) == ("some-code", "A title", 7)


def test_doctor(edgetool, targets_file: Path) -> None:
    absent = ("--set", 'targets.board.backend="absent"')
    done = edgetool("doctor", *absent)
    assert done.exit_code == 0
    for what in ("python", "threads", "memory", "cache", "backend onnxruntime", "target board"):
        assert what in done.out
    findings = {row["what"]: row for row in edgetool("doctor", "--json", *absent).result["findings"]}
    version = importlib.metadata.version("onnxruntime")
    assert findings["backend onnxruntime"]["status"] == "ok"
    assert version in findings["backend onnxruntime"]["detail"]
    assert findings["target board"]["status"] == "missing"
    assert findings["target board"]["fix"].endswith("until then: edgetool build --target ci")
    assert "target ci" not in findings


def test_doctor_with_a_wrong_targets_file(edgetool, project: Path) -> None:
    (project / "targets.toml").write_text("schema = 1\nx = 1\n")
    done = edgetool("doctor", "--json")
    assert done.exit_code == 0
    assert done.result["findings"][-1]["status"] == "broken"
    assert "targets validate" in done.result["findings"][-1]["fix"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_doctor_sees_a_cache_that_cannot_be_written(edgetool, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "locked").mkdir(mode=0o500)
    monkeypatch.setenv("EDGETOOL_CACHE_DIR", str(project / "locked" / "cache"))
    findings = {row["what"]: row for row in edgetool("doctor", "--json").result["findings"]}
    assert findings["cache"]["status"] == "broken"


def test_doctor_reports_broken_plugins_and_missing_packages(tmp_path: Path) -> None:
    """A plugin that cannot be imported, and onnxruntime hidden from the process."""
    environment = announce_plugin(tmp_path, "rogue", "rogue_that_is_not_there.plugin")
    code = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "import importlib.util; find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'onnxruntime' else find(name, *rest)\n"
        "from edgetool.cli.entry import main; main(['doctor', '--json'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    findings = {row["what"]: row for row in json.loads(done.stdout)["findings"]}
    assert findings["plugin rogue"]["status"] == "broken"
    assert "rogue_that_is_not_there" in findings["plugin rogue"]["detail"]
    assert findings["backend onnxruntime"]["status"] == "missing"
    assert findings["backend onnxruntime"]["fix"] == "pip install 'edgetool[onnxruntime]'"
