"""A target may name another interpreter, so that backends with conflicting pins live in environments of their own."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def other_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another environment that sees edgetool and the runtimes, and leaves a mark when it is used."""
    folder = tmp_path_factory.mktemp("other")
    venv.create(folder, symlinks=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    paths = [sysconfig.get_path("purelib"), str(ROOT / "toolchain"), str(ROOT / "plugins")]
    (site / "seen.pth").write_text("\n".join(paths) + "\n")
    (site / "mark.py").write_text(f"open({str(folder / 'used')!r}, 'a').write('used\\n')\n")
    (site / "mark.pth").write_text("import mark\n")
    return folder / "bin" / Path(sys.executable).name


def test_steps_run_in_the_target_s_interpreter(project: Path, run_cli: Cli, other_python: Path, tmp_path: Path) -> None:
    with (project / "targets.toml").open("a") as file:
        file.write(f'\n[targets.apart]\nbackend = "onnxruntime"\n[targets.apart.builder]\npython = "{other_python}"\n')
    env = {"EDGETOOL_CACHE_DIR": str(tmp_path / "cache")}  # or another test's steps would do
    done = run_cli("build", "--target", "apart", cwd=project, env=env)
    assert done.returncode == 0, done.stderr
    assert (other_python.parents[1] / "used").read_text().count("used") >= 4, "two questions, the steps, and the engine"


def test_an_interpreter_without_edgetool_is_named(project: Path, run_cli: Cli, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    python = tmp_path / "bare" / "bin" / Path(sys.executable).name
    with (project / "targets.toml").open("a") as file:
        file.write(f'\n[targets.bare]\nbackend = "onnxruntime"\n[targets.bare.builder]\npython = "{python}"\n')
    done = run_cli("build", "--target", "bare", cwd=project)
    assert done.returncode == 5, done.stderr
    assert "edgetool" in done.stderr
    assert "Traceback" not in done.stderr
