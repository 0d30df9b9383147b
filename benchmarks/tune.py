"""`edgetool tune` beside NNCF's `quantize_with_accuracy_control`: wall time, and the points that both arrive at.

Both get the same network, calibration samples, evaluation samples, metric and limit, for OpenVINO on this CPU. Ours
also holds half of the evaluation samples back, to judge by; NNCF chooses and judges by all of them. NNCF goes first;
`tune` is given nearly half of the time that it took, or three minutes where that is less: NNCF ends with its first
attempt if that holds, in the time of one or two recipes. Afterwards both engines and float on ONNX Runtime run on all
evaluation samples, and take turns on one of them. The examples must be prepared.
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
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.timing import Ratio, print_machine
from edgetool.runner import Feeds

EXAMPLES = Path(__file__).parents[1] / "examples"
TARGET = "openvino-int8"
_ROUNDS = 30
_SHARE = 0.5
"""Of NNCF's wall time, that ours may take."""
_GIVEN, _LEAST = 0.45, 180
"""What ours is told to take: this much of NNCF's wall time, for it also has to start and to write; seconds at least."""

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
    """Seconds: of the clock, and of the processor over all processes."""

    wall: float
    cpu: float


def main(arguments: Sequence[str] = ()) -> None:
    """Print a table for each network."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tune")
    parser.add_argument("examples", nargs="*", default=[row.example for row in ROWS])
    chosen = parser.parse_args(arguments).examples
    os.environ["OMP_NUM_THREADS"] = "1"
    print(f"tune against NNCF's accuracy control; OpenVINO, one thread, {_ROUNDS} rounds of processor time")
    for row in ROWS:
        if row.example in chosen:
            with tempfile.TemporaryDirectory() as folder:
                _compare(row, Path(folder))


def _compare(row: Row, folder: Path) -> None:
    project = _project(row, folder / "project")
    environment = {**os.environ, "EDGETOOL_CACHE_DIR": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
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
    seconds = max(_LEAST, int(theirs.wall * _GIVEN))
    command = ["tune", "--target", TARGET, "--max-drop", limit, "--time", f"{seconds}s", "--write", "--json"]
    ours, printed = _timed([*edgetool, *command], project, environment)
    found = json.loads(printed.splitlines()[-1])
    _run([*edgetool, "build", "--target", TARGET, "--allow-unverified"], project, environment)
    infers = {
        "float on ONNX Runtime": _reference(onnx),
        f"tune: {found['chosen']}": _engine(next((project / "dist").glob("*.edgebundle"))),
        "NNCF": _compiled(folder / "nncf.xml"),
    }
    _print(row, ours, theirs, infers, found)


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
    printed = _run(command, folder, environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(time.monotonic() - began, cpu), printed


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


def _print(row: Row, ours: Spent, theirs: Spent, infers: Mapping[str, Infer], found: Mapping[str, Any]) -> None:
    _, evaluation, metric = samples(row.example)
    labels = [label for _, label in evaluation]
    results = {name: [infer(feeds) for feeds, _ in evaluation] for name, infer in infers.items()}
    spent: dict[str, list[float]] = {name: [] for name in infers}
    for number in range(_ROUNDS + 3):
        for name, infer in infers.items():
            began = time.process_time()
            infer(evaluation[0][0])
            if number >= 3:
                spent[name].append(time.process_time() - began)
    base = next(iter(infers))
    share = ours.wall / theirs.wall
    verdict = "held" if share <= _SHARE else "MISSED"
    print(f"  {row.example}, at most {row.max_drop:.0%} lost; {found['ended']}, {len(found['points'])} recipes")
    for name, one in (("tune", ours), ("NNCF", theirs)):
        print(f"    {name:60} {one.wall:7.0f} s wall {one.cpu:5.0f} s cpu")
    print(f"    tune took {share:.2f} x NNCF's wall time, {ours.cpu / theirs.cpu:.2f} x its cpu time;"
          f" required <= {_SHARE} x wall: {verdict}")  # fmt: skip
    losses = {name: metric(results[base], labels) - metric(outputs, labels) for name, outputs in results.items()}
    for name, outputs in results.items():
        line = f"    {name:60} {median(spent[name]) * 1e3:7.2f} ms  metric {metric(outputs, labels):.4f}"
        if name != base:
            agree = float(np.mean([_agreement(a, b) for a, b in zip(results[base], outputs, strict=True)]))
            line += f"  = {Ratio.of(spent[base], spent[name])}  agreement {agree:.4f}"
        print(line, flush=True)
    _, mine, other = results
    ratio = Ratio.of(spent[other], spent[mine])
    print(f"    tune's engine is {ratio} as fast as NNCF's and loses {losses[mine]:.4f}, NNCF's {losses[other]:.4f}")


def _agreement(wanted: Outputs, found: Outputs) -> float:
    """Share of rows with the same largest entry; the cosine for embeddings, whose largest entry means nothing."""
    ours, theirs = next(iter(wanted.values())), next(iter(found.values()))
    if ours.ndim == 2 and ours.shape[-1] < 1000:
        return float(np.vdot(ours, theirs) / (np.linalg.norm(ours) * np.linalg.norm(theirs)))
    return float((ours.argmax(-1) == theirs.argmax(-1)).mean())


if __name__ == "__main__":
    print_machine()
    main(sys.argv[1:])
