"""The judge is judged: commands that misbehave are found out, each in its own way."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.robustness.trial import SECRET, Bounds, Ground, judge

BOUNDS = Bounds(seconds=2.0, cpu_seconds=10, resident=1 << 30)


def _says(*words: str) -> Callable[[], None]:
    return lambda: print(*words, file=sys.stderr)


def _raises() -> None:
    raise KeyError("no such thing")


def _writes_beside() -> None:
    Path("../home/.config").write_text("x")


def _hangs() -> None:
    time.sleep(60)


def _crashes() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _exits() -> None:
    sys.exit(77)


@pytest.mark.parametrize(
    ("work", "defect"),
    [
        (_raises, "traceback: .*KeyError"),
        (_writes_beside, "wrote outside of its folder: home"),
        (_hangs, "did not end within"),
        (_crashes, "crashed: SIGSEGV"),
        (_exits, "exit code 77"),
        (_says(SECRET.decode()), "printed what lies outside"),
        (_says("error[plugin-failed]: at /x/plugins/edgetool_onnx/proof.py:12"), "edgetool_onnx/proof.py:12"),
    ],
)
def test_what_no_command_may_do(
    work: Callable[[], None], defect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def main(_: list[str]) -> None:
        work()

    monkeypatch.setattr("edgetool.cli.entry.main", main)
    ground = Ground(tmp_path / "ground")
    ended = ground.run([], BOUNDS, started=False)
    found = judge(ended, BOUNDS, outside=ground.changed()).defect
    assert found is not None
    assert re.search(defect, found), found


def test_a_sound_refusal(tmp_path: Path) -> None:
    ground = Ground(tmp_path / "ground")
    (ground.work / "model.onnx").write_bytes(b"\x08")
    for started in (False, True):
        ended = ground.run(["inspect", "model.onnx"], Bounds(), started=started)
        judged = judge(ended, Bounds(), outside=ground.changed())
        assert (judged.outcome, judged.defect) == ("exit 3 not-onnx", None), ended.output


def test_memory_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgetool.cli.entry.main", lambda _: bytearray(b"x") * (300 << 20))
    ground = Ground(tmp_path / "ground")
    bounds = Bounds(resident=256 << 20)
    ended = ground.run([], bounds, started=False)
    assert "MiB of memory" in str(judge(ended, bounds, outside=ground.changed()).defect)


@pytest.mark.parametrize("started", [False, True], ids=["fork", "program"])
def test_commands_have_the_environment_of_users(started: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`PATH` leads to compilers and packagers; what belongs to the user himself stays out of reach."""
    monkeypatch.setenv("XDG_CONFIG_HOME", "/elsewhere")
    ground = Ground(tmp_path / "ground")
    assert ground.environment()["PATH"] == os.environ["PATH"]
    (ground.work / "sitecustomize.py").write_text("import os\nprint(sorted(os.environ.items()))\n")
    if started:
        monkeypatch.setenv("PYTHONPATH", str(ground.work))
    else:
        monkeypatch.setattr("edgetool.cli.entry.main", lambda _: print(sorted(os.environ.items())))
    said = ground.run(["--version"], Bounds(), started=started).output
    assert f"('PATH', '{os.environ['PATH']}')" in said
    assert f"('HOME', '{ground.folder / 'home'}')" in said
    assert "XDG_CONFIG_HOME" not in said
