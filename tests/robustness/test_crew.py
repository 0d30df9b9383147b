"""Workers of the suite that die, hang or are interrupted: their mutants are known, and the others are tried."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.robustness.campaign import Plan, Row, _write, read_history, run_campaign
from tests.robustness.crew import CrewError, Try, run_crew
from tests.robustness.kinds import kind_of
from tests.robustness.seeds import Seeds
from tests.robustness.trial import Bounds

ROOT = Path(__file__).parents[2]


@pytest.fixture
def lightly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Imports stay out of the tests' own process."""
    monkeypatch.setattr("tests.robustness.campaign.warm_up", lambda _: None)


def _dies() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _fails() -> None:
    raise ValueError("a mutation that fails")


def _hangs() -> None:
    time.sleep(60)


def _grows() -> None:
    bytearray(5 << 30)


@pytest.mark.parametrize(
    ("misfortune", "how"),
    [
        (_dies, "ended with SIGKILL"),
        (_fails, "ended with 70"),
        (_grows, "ended with 70"),
        (_hangs, "did not get on"),
    ],
)
def test_a_lost_worker_is_reported_and_replaced(misfortune: Callable[[], None], how: str, tmp_path: Path) -> None:
    def prepare() -> Try:
        def attempt(index: int) -> None:
            if index in (4, 7):
                misfortune()
            (tmp_path / str(index)).touch()

        return attempt

    lost: dict[int, str] = {}
    run_crew(range(10), jobs=2, prepare=prepare, lost=lost.__setitem__, patience=1.0)
    assert sorted(lost) == [4, 7]
    assert all(how in said for said in lost.values())
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == [0, 1, 2, 3, 5, 6, 8, 9]


def test_a_suite_that_is_broken_does_not_go_on_for_ever() -> None:
    lost: list[int] = []
    with pytest.raises(CrewError, match="21 workers"):
        run_crew(range(1000), jobs=2, prepare=lambda: lambda _: _dies(), lost=lambda at, _: lost.append(at), patience=9)
    assert len(lost) == 21

    def prepare() -> Try:
        raise OSError("no space left on device")

    with pytest.raises(CrewError, match="before its first mutant"):
        run_crew(range(10), jobs=1, prepare=prepare, lost=lambda *_: None, patience=9)


@pytest.mark.usefixtures("lightly")
def test_an_interrupted_run_goes_on_and_tries_defects_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutants' command is one that ends at once; what is looked at is which of them are tried."""

    def written(kind: str, *, seed: int, index: int, seeds: Seeds, folder: Path) -> tuple[str, ...]:
        with (tmp_path / f"tried-{index}").open("a") as tried:
            tried.write("x")
        return ("--version",)

    monkeypatch.setattr("tests.robustness.campaign.write_mutant", written)
    folder = tmp_path / "rows"
    folder.mkdir()
    _write(folder / "rows-1-1.jsonl", Row(kind_of(1), 1, "", "exit 0", 0.1, 1))
    _write(folder / "rows-1-1.jsonl", Row(kind_of(2), 2, "", "exit 1", 0.1, 1, "traceback: KeyError"))
    with (folder / "rows-1-1.jsonl").open("a") as rows:
        rows.write('{"kind": "targets", "index": 3, "comm')
    plan = Plan(range(1, 5), seed=1)
    history = run_campaign(plan, folder=folder, seeds=Seeds(tmp_path), jobs=1, bounds=Bounds())
    assert sorted(path.name for path in tmp_path.glob("tried-*")) == ["tried-2", "tried-3", "tried-4"]
    assert [row.outcome for row in history.rows] == ["exit 0"] * 4
    assert [row.defect for row in history.fixed] == ["traceback: KeyError"]
    run_campaign(Plan(range(1, 5), seed=1, again=True), folder=folder, seeds=Seeds(tmp_path), jobs=1, bounds=Bounds())
    assert (tmp_path / "tried-1").exists()
    assert not list(folder.glob("ground-*"))


@pytest.mark.usefixtures("lightly")
def test_a_mutant_that_cannot_be_written_is_an_open_defect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.robustness.campaign.write_mutant", lambda *_, **__: _fails())
    history = run_campaign(Plan(range(2), seed=1), folder=tmp_path, seeds=Seeds(tmp_path), jobs=1, bounds=Bounds())
    assert [row.outcome for row in history.rows] == ["worker lost"] * 2
    assert history.sound == frozenset()
    assert len(read_history(tmp_path).rows) == 2


def test_workers_end_with_a_run_that_is_killed() -> None:
    program = """
import os, sys, time
from tests.robustness.crew import run_crew
def attempt(_):
    print(os.getpid(), flush=True)
    time.sleep(60)
run_crew(range(1), jobs=1, prepare=lambda: attempt, lost=print, patience=60)
"""
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert int(run.stdout.readline())
        killed = time.monotonic()
        run.kill()
        assert run.stdout.read() == ""
        assert time.monotonic() - killed < 30, "the pipe stays open as long as the worker lives"
