"""`edgetool verify` runs on a machine that has nothing but Python, and its help tells the truth about it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgetool.trust import verifier

Cli = Callable[..., subprocess.CompletedProcess[str]]


def test_the_command_loads_the_standard_library_only(tmp_path: Path) -> None:
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['edgetool', 'verify', {str(tmp_path)!r}]\n"
        "before = set(sys.modules)\n"
        "try: runpy.run_module('edgetool', run_name='__main__')\n"
        "except SystemExit as end: print('exit', end.code)\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(name for name in new - set(sys.stdlib_module_names) if not name.startswith('_')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == ["exit 7", "['edgetool']"]


def test_help_and_the_verifier_have_the_same_options(run_cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        verifier.main(["--help"])
    real = set(re.findall(r"(?<![\w-])--?[a-z]+[a-z-]*", capsys.readouterr().out)) - {"-h"}
    shown = set(re.findall(r"(?<![\w-])--?[a-z]+[a-z-]*", run_cli("verify", "--help").stdout))
    assert shown == real >= {"--key", "--ca", "--digest", "--json", "--quiet", "-q", "--help"}


def test_several_bundles_at_once(tmp_path: Path, run_cli: Cli) -> None:
    done = run_cli("verify", tmp_path / "one", tmp_path / "two")
    assert done.returncode == 2
    assert done.stderr.count("error[bundle-not-found]") == done.stderr.count("hint: a bundle is the folder") == 2


def test_the_folder_that_bundles_lie_in_is_none(tmp_path: Path, run_cli: Cli) -> None:
    done = run_cli("verify", tmp_path)
    assert done.returncode == 7
    assert "manifest.json: No such file" in done.stderr and "hint: a bundle is the folder" in done.stderr
