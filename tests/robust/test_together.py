"""Several builds and the garbage collection in one cache at the same time."""

from __future__ import annotations

import json
import shutil
import threading

import pytest

from tests.robust.project import SLOW, Project, bytes_of, running

NAME = "tiny-1.0.0-float.edgebundle"


@pytest.mark.parametrize("apart", [False, pytest.param(True, marks=SLOW)])
def test_eight_equal_builds(project: Project, apart: bool) -> None:
    options = ("build", "-t", "float", "--json", "--latency-time", "0.05s")
    outputs = [f"dist{index if apart else ''}" for index in range(8)]
    processes = [project.start(*options, "--output", output) for output in outputs]
    done = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, [stderr for _, stderr in done]
    events = [[json.loads(line) for line in stdout.splitlines()] for stdout, _ in done]
    for step in ("import", "build", "validate"):
        made = [event for lines in events for event in lines if _is_made(event, step)]
        assert len(made) == 1, f"{step} was made {len(made)} times"
    bundles = [bytes_of(project.folder / output / NAME) for output in dict.fromkeys(outputs)]
    assert all(bundle == bundles[0] for bundle in bundles)
    assert not list(project.folder.glob("dist*/.*"))


def _is_made(event: dict[str, object], step: str) -> bool:
    return event["event"] == "step-finished" and event["step"] == step and not event["cached"]


def test_garbage_is_collected_while_a_build_runs(project: Project) -> None:
    """What a running build made or read is spared; once it is over, all of it can go."""
    from edgetool.engine.cache import Cache
    from edgetool.engine.collect import collect_garbage

    stop = threading.Event()

    def collect() -> None:
        while not stop.wait(0.05):
            collect_garbage(Cache(project.cache), max_size=0, max_age=None, damaged=False)

    collector = threading.Thread(target=collect)
    collector.start()
    try:
        with running(project.start("build", "-t", "int8", "--latency-time", "0.05s")) as process:
            _, stderr = process.communicate(timeout=60)
    finally:
        stop.set()
        collector.join()
    assert "Traceback" not in stderr
    assert process.returncode == 0, stderr
    collect_garbage(Cache(project.cache), max_size=0, max_age=None, damaged=False)
    assert not list(Cache(project.cache).entries())


def test_foreign_files_in_the_cache(warm: Project, project: Project) -> None:
    shutil.copytree(warm.cache, project.cache)
    root = project.cache / "v1"
    (root / "entries" / "README").write_text("not an entry")
    (root / "entries" / "aa").mkdir(exist_ok=True)
    (root / "entries" / "aa" / "notes.txt").write_text("neither")
    (root / "entries" / "bb").mkdir(exist_ok=True)
    (root / "entries" / "bb" / "folder").mkdir()
    (root / "tmp" / "file").write_text("nor a workspace")
    for command in (["cache", "ls"], ["cache", "verify"], ["cache", "gc"]):
        with running(project.start(*command)) as process:
            _, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, (command, stderr)
    assert project.build().returncode == 0
