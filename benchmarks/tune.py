"""`edgetool tune` beside NNCF's `quantize_with_accuracy_control`: wall time, and the points that both arrive at.

Both get the same network as ONNX, calibration samples, evaluation samples, metric and limit, for OpenVINO on this CPU,
and the machine to themselves: NNCF takes what threads it likes, `tune` works on two recipes at a time. Ours also holds
half of the evaluation samples back, to judge by; NNCF chooses and judges by all of them. NNCF is done with its first
attempt if that holds; `tune` goes on until nothing is left to try. So two times of ours are told: until it would first
have answered with a point as good as NNCF's, had it been stopped then, starting Python included; and in all. Afterwards
the engines and float on ONNX Runtime run on all evaluation samples, and take turns on one of them. The examples must be
prepared.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.timing import Ratio, print_machine, processor_time_below
from edgetool.config.edit import write_recipe
from edgetool.runner import Feeds

EXAMPLES = Path(__file__).parents[1] / "examples"
TARGET = "openvino-int8"
_ROUNDS = 30
_SHARE = 0.5
"""Of NNCF's wall time, that ours may take until its point is there."""
_JOBS = 2
_AS_FAST = 0.95
"""Times the speed of NNCF's engine, from which on the two are told to be as fast: turns scatter by that."""

Outputs = dict[str, np.ndarray[Any, Any]]
Infer = Callable[[Feeds], Outputs]


@dataclass(frozen=True, slots=True)
class Row:
    """One network.

    Attributes:
        example: folder of the example.
        max_drop: of its metric.
        transformer: what NNCF is told.
    """

    example: str
    max_drop: float
    transformer: bool = False


ROWS = (Row("ppocr", 0.02), Row("minilm", 0.01, transformer=True), Row("mobilenetv2", 0.02))


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds: of the clock, and of the processor over all processes.

    Attributes:
        course: both after a while, again and again: what was spent when.
    """

    wall: float
    cpu: float
    course: tuple[tuple[float, float], ...] = ()

    def until(self, wall: float) -> Spent:
        """What was spent up to then."""
        return Spent(wall, max((cpu for at, cpu in self.course if at <= wall), default=0.0))


@dataclass(frozen=True, slots=True)
class Contestant:
    """An engine of ours or of another's.

    Attributes:
        name: for the table.
        infer: runs it.
        answered: when `tune` would have answered with it; None for the others.
    """

    name: str
    infer: Infer
    answered: float | None = None


def main(arguments: Sequence[str] = ()) -> None:
    """Print a table for each network."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tune")
    parser.add_argument("examples", nargs="*", default=[row.example for row in ROWS])
    parser.add_argument("--time", default="15m", help="when tune has to end at the latest")
    given = parser.parse_args(arguments)
    os.environ["OMP_NUM_THREADS"] = "1"
    print(f"tune against NNCF's accuracy control; OpenVINO, one thread, {_ROUNDS} rounds of processor time")
    for row in ROWS:
        if row.example in given.examples:
            with tempfile.TemporaryDirectory() as folder:
                _compare(row, Path(folder), time_limit=given.time)


def _compare(row: Row, folder: Path, *, time_limit: str) -> None:
    project = _project(row, folder / "project")
    # An installed package is compiled; a working tree may be forbidden to be.
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    own = {"EDGETOOL_CACHE_DIR": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, **own, **compiled}
    edgetool = [sys.executable, "-m", "edgetool"]
    onnx = folder / "float.onnx"
    # The way from PyTorch to ONNX is the same for both, and no part of the comparison.
    _run([*edgetool, "convert", "--output", str(onnx)], project, environment)
    limit = f"{row.max_drop:.2%}"
    theirs, _ = _timed(
        [sys.executable, "-m", "benchmarks.tune_nncf", row.example, str(onnx), str(folder / "nncf.xml"), limit,
         *(["transformer"] if row.transformer else [])],
        Path(__file__).parents[1],
        environment,
    )  # fmt: skip
    command = ["tune", "--target", TARGET, "--max-drop", limit, "--time", time_limit, "--jobs", str(_JOBS), "--json"]
    ours, printed = _timed([*edgetool, *command], project, environment)
    found = json.loads(printed.splitlines()[-1])
    start = ours.wall - found["seconds"]
    answers = []
    for number, answer in enumerate(row for row in found["answers"] if row["passes"]):
        bundle = _built(answer["passes"], project, folder / f"answer{number}", edgetool, environment)
        answers.append(Contestant(f"tune: {answer['chosen']}", _engine(bundle), start + answer["seconds"]))
    others = [Contestant("float on ONNX Runtime", _reference(onnx)), Contestant("NNCF", _compiled(folder / "nncf.xml"))]
    _print(row, ours, theirs, [*others, *answers], found)


def _built(
    passes: Sequence[Mapping[str, Any]],
    project: Path,
    folder: Path,
    edgetool: Sequence[str],
    environment: Mapping[str, str],
) -> Path:
    """The bundle of a recipe; its engine comes from the cache that `tune` left."""
    shutil.copytree(project, folder)
    write_recipe(folder / "targets.toml", TARGET, "answer", passes, remark="an answer of tune")
    _run([*edgetool, "build", "--target", TARGET, "--allow-unverified"], folder, environment)
    return next((folder / "dist").glob("*.edgebundle"))


def _project(row: Row, folder: Path) -> Path:
    """A copy of the example whose target has no budgets of its own."""
    shutil.copytree(EXAMPLES / row.example, folder, ignore=shutil.ignore_patterns("dist", "__pycache__"))
    path = folder / "targets.toml"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith("budget")))
    with path.open("a") as file:
        file.write("threads = 1\n")  # the last target is the one that is tuned
    return folder


def _run(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> str:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return done.stdout


def _timed(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> tuple[Spent, str]:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    course: list[tuple[float, float]] = []
    done = threading.Event()

    def follow() -> None:
        while not done.wait(0.2):
            course.append((time.monotonic() - began, processor_time_below(os.getpid())))

    watcher = threading.Thread(target=follow)
    watcher.start()
    try:
        printed = _run(command, folder, environment)
    finally:
        done.set()
        watcher.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(time.monotonic() - began, cpu, tuple(course)), printed


def _reference(onnx: Path) -> Infer:
    from edgetool.engine.reference import open_reference

    return open_reference(onnx, 1).infer


def _engine(bundle: Path) -> Infer:
    from edgetool.cli.bundled import open_runnable
    from edgetool.engine.bundled import bundled_engine

    file = bundled_engine(*open_runnable(bundle), threads=1)
    return file.plugin().open(file.engine(), file.context()).infer


def _compiled(path: Path) -> Infer:
    from edgetool_openvino.runtime import load_runtime

    openvino = load_runtime()
    pinned = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
    compiled = openvino.Core().compile_model(str(path), "CPU", pinned)
    request = compiled.create_infer_request()
    names = [port.any_name for port in compiled.outputs]

    def infer(feeds: Feeds) -> Outputs:
        request.infer(dict(feeds))
        return {name: np.array(request.get_tensor(name).data) for name in names}

    return infer


def samples(example: str) -> tuple[list[Feeds], list[tuple[Feeds, Any]], Callable[..., float]]:
    """Calibration feeds, labelled evaluation feeds, and the metric of an example."""
    module = importlib.import_module(f"examples.{example}.data")
    return list(module.calibration()), list(module.evaluation()), module.metric


def _print(row: Row, ours: Spent, theirs: Spent, engines: Sequence[Contestant], found: Mapping[str, Any]) -> None:
    _, evaluation, metric = samples(row.example)
    labels = [label for _, label in evaluation]
    results = [[one.infer(feeds) for feeds, _ in evaluation] for one in engines]
    spent: list[list[float]] = [[] for _ in engines]
    for number in range(_ROUNDS + 3):
        for one, seconds in zip(engines, spent, strict=True):
            began = time.process_time()
            one.infer(evaluation[0][0])
            if number >= 3:
                seconds.append(time.process_time() - began)
    print(f"  {row.example}, at most {row.max_drop:.0%} lost; {found['ended']}, {len(found['points'])} recipes")
    losses = [metric(results[0], labels) - metric(outputs, labels) for outputs in results]
    for at, (one, outputs) in enumerate(zip(engines, results, strict=True)):
        line = f"    {one.name:80} {median(spent[at]) * 1e3:7.2f} ms  lost {losses[at]:7.4f}"
        if at:
            agree = float(np.mean([_agreement(a, b) for a, b in zip(results[0], outputs, strict=True)]))
            line += f"  {Ratio.of(spent[0], spent[at])} x float  agreement {agree:.4f}"
        print(line, flush=True)
    ratios = [Ratio.of(spent[1], seconds) for seconds in spent]
    as_good = [at for at in range(2, len(engines)) if losses[at] <= row.max_drop and ratios[at].median >= _AS_FAST]
    times = [("NNCF", theirs), ("tune, in all", ours)]
    if as_good:
        when = engines[as_good[0]].answered or 0.0
        times.insert(1, ("tune, until its answer was as good", ours.until(when)))
    for name, took in times:
        print(f"    {name:40} {took.wall:7.1f} s wall {took.wall / theirs.wall:5.2f} x"
              f" {took.cpu:7.1f} s cpu {took.cpu / theirs.cpu:5.2f} x")  # fmt: skip
    share = times[1][1].wall / theirs.wall if as_good else float("inf")
    verdict = "held" if share <= _SHARE else "MISSED"
    print(f"    tune's point was there after {share:.2f} x NNCF's wall time; required <= {_SHARE} x: {verdict}")
    last = engines[-1] if len(engines) > 2 else None
    if last is not None:
        print(f"    tune's engine is {ratios[-1]} as fast as NNCF's and loses {losses[-1]:.4f}, NNCF's {losses[1]:.4f}")


def _agreement(wanted: Outputs, found: Outputs) -> float:
    """Share of rows with the same largest entry; the cosine for embeddings, whose largest entry means nothing."""
    ours, theirs = next(iter(wanted.values())), next(iter(found.values()))
    if ours.ndim == 2 and ours.shape[-1] < 1000:
        return float(np.vdot(ours, theirs) / (np.linalg.norm(ours) * np.linalg.norm(theirs)))
    return float((ours.argmax(-1) == theirs.argmax(-1)).mean())


if __name__ == "__main__":
    print_machine()
    main(sys.argv[1:])
