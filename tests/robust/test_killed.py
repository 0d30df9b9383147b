"""Builds that end before their time: by kill -9, Ctrl-C or SIGTERM, in the parent or in its children."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgetool.bundle.verify import verify
from tests.robust.project import SLOW, Project, bytes_of, one_error, running, wait_until_gone

BUNDLE = "dist/tiny-1.0.0-float.edgebundle"
BUILD = ("build", "-t", "float", "--latency-time", "0.05s")
LONGEST = 3.5
"""Seconds within which a signal hits the build: a little longer than it takes."""


def _leftovers(project: Project) -> list[str]:
    """What a killed build may leave and a later one has to clear."""
    tmp = project.cache / "v1" / "tmp"
    dist = project.folder / "dist"
    return [path.name for folder in (tmp, dist) if folder.is_dir() for path in folder.iterdir() if _is_part(path)]


def _is_part(path: Path) -> bool:
    return path.parent.name == "tmp" or path.name.startswith(".")


def _make_old(project: Project) -> None:
    """Only workspaces that are not brand-new are taken for abandoned."""
    for folder in (project.cache / "v1" / "tmp").glob("*"):
        os.utime(folder, (time.time() - 3600,) * 2)


def _kill_and_recover(project: Project, reference: dict[str, bytes], after: float) -> None:
    with running(project.start(*BUILD)) as process:
        time.sleep(after)
        process.kill()
    assert wait_until_gone(project.cache) == [], f"killed after {after:.2f} s"
    if (project.folder / BUNDLE).exists():
        assert verify(project.folder / BUNDLE).sound
    _make_old(project)
    done = project.build()
    assert done.returncode == 0, f"killed after {after:.2f} s: {done.stderr}"
    assert bytes_of(project.folder / BUNDLE) == reference
    assert _leftovers(project) == []


def test_kill_9_of_the_parent(project: Project, warm: Project) -> None:
    reference = bytes_of(warm.folder / BUNDLE)
    _kill_and_recover(project, reference, 1.4)


@SLOW
@pytest.mark.parametrize("seed", range(4))
def test_kill_9_of_the_parent_at_many_moments(project: Project, warm: Project, seed: int) -> None:
    reference = bytes_of(warm.folder / BUNDLE)
    generator = random.Random(seed)
    for _ in range(6):
        _kill_and_recover(project, reference, generator.uniform(0.1, LONGEST))
        _forget(project)


def _forget(project: Project) -> None:
    shutil.rmtree(project.cache, ignore_errors=True)
    shutil.rmtree(project.folder / "dist", ignore_errors=True)


SCRATCH = """\
import os, signal, sys
from edgetool.disk import scratch_folder
with scratch_folder("edgetool-test") as folder:
    (folder / "network.onnx").write_bytes(bytes(1000))
    if sys.argv[1] == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_temporary_files_of_the_killed_are_cleared_and_no_others(tmp_path: Path) -> None:
    def start(how: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", SCRATCH, how],
            env={**os.environ, "TMPDIR": str(tmp_path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    with start("lives") as alive:
        assert alive.stdout is not None
        assert alive.stdout.readline() == "ready\n"
        (living,) = tmp_path.iterdir()
        with start("dies") as dead:
            dead.communicate()
        assert dead.returncode == -signal.SIGKILL
        assert len(list(tmp_path.iterdir())) == 2, "a process that is killed clears nothing itself"
        with start("lives") as third:
            third.communicate()
        assert list(tmp_path.iterdir()) == [living]
        alive.communicate()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("child", ["worker", "engine"])
def test_kill_9_of_a_child(project: Project, child: str) -> None:
    """The engine's process is the child of a child."""
    wanted = 2 if child == "worker" else 3
    # The engine is timed for so long that it is still there when a busy machine lets us look.
    with running(project.start(*BUILD, "--latency-time", "60s")) as process:
        deadline = time.monotonic() + 60
        while len(family := _descent(process.pid)) < wanted and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(family[wanted - 1], signal.SIGKILL)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 10, stderr
    one_error(stderr, "step-killed")
    assert wait_until_gone(project.cache) == []
    assert not (project.folder / BUNDLE).exists()
    assert project.build().returncode == 0


def _descent(pid: int) -> list[int]:
    """The process, its child, the child's child."""
    found = [pid]
    while children := _children(found[-1]):
        found.append(children[-1])
    return found


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, task.read_text().split())
        except OSError:
            continue
    return found


@pytest.mark.parametrize(
    ("number", "whom", "after", "options"),
    [
        pytest.param(signal.SIGINT, "group", 1.0, (), marks=SLOW),
        (signal.SIGINT, "parent", 1.8, ()),
        (signal.SIGTERM, "parent", 1.3, ()),
        (signal.SIGINT, "parent", 2.0, ("-t", "int8", "-t", "openvino", "--jobs", "3")),
        pytest.param(signal.SIGTERM, "group", 2.0, ("-t", "int8", "-t", "openvino", "--jobs", "3"), marks=SLOW),
    ],
)
def test_interrupts(
    project: Project, number: signal.Signals, whom: str, after: float, options: tuple[str, ...]
) -> None:
    with running(project.start(*BUILD, "--latency-time", "60s", *options)) as process:
        _wait_for(process.pid, after)
        (os.killpg if whom == "group" else os.kill)(process.pid, number)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    one_error(stderr, "interrupted-by-user")
    assert stdout == ""
    assert wait_until_gone(project.cache, seconds=3) == []
    assert _leftovers(project) == []
    assert not list(project.folder.glob("dist/*"))
    assert not list((project.folder).glob(".*"))


def _wait_for(pid: int, after: float) -> None:
    """Until the build has a child, and a while longer."""
    deadline = time.monotonic() + 20
    while not _children(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(after - 0.9)


def test_an_impatient_user(project: Project) -> None:
    """A second and third Ctrl-C while the first is being obeyed."""
    with running(project.start(*BUILD, "--latency-time", "60s")) as process:
        _wait_for(process.pid, 1.5)
        for _ in range(3):
            process.send_signal(signal.SIGINT)
            time.sleep(0.02)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert wait_until_gone(project.cache) == []
