"""What validating costs beside the inferences that it is made of, and how long a report takes to be drawn.

`validate` of one target of the MobileNetV2 example, with everything in the cache but the validation itself, against a
program that imports the framework, opens the same two networks and runs the same inferences, and nothing else.
"""

from __future__ import annotations

import argparse
import functools
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import Command, report, take_turns

_LIMIT = 1.3
_REPORT_BYTES = 2 << 20
_REPORT_SECONDS = 1.0
_EXAMPLE = Path(__file__).parents[1] / "examples" / "mobilenetv2"
_TARGET = "ort-int8"
_LATENCY_SECONDS = 0.5
_INFERENCES = """
import json, sys, time
import numpy, onnxruntime
plan = json.loads(sys.argv[1])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = plan["threads"]
sessions = [onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"]) for path in plan["networks"]]
samples = numpy.load(plan["samples"], mmap_mode="r")
for sample in samples:
    for session in sessions:
        session.run(None, {plan["input"]: sample})
end = time.perf_counter() + plan["seconds"]
while time.perf_counter() < end:
    for session in sessions:
        session.run(None, {plan["input"]: samples[0]})
"""


def main(arguments: Sequence[str] = ()) -> None:
    """Time a validation against its inferences, and drawing its report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks validation", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each that count (default 5)")
    options = parser.parse_args(arguments)
    print("validation: MobileNetV2 in int8 on ONNX Runtime, against the same inferences and the framework's import")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        env = {"EDGETOOL_CACHE_DIR": str(folder / "cache"), "OMP_NUM_THREADS": "2"}
        validate = (
            *(sys.executable, "-m", "edgetool", "validate", "--file", str(_EXAMPLE / "targets.toml")),
            *("--target", _TARGET, "--latency-time", f"{_LATENCY_SECONDS}s", "--allow-unverified"),
        )
        kept = folder / "dist"
        first = Command("first", (*validate, "--keep", str(kept)), env)
        take_turns([first], rounds=0, log=folder / "log")
        (bundle,) = kept.glob("*.edgebundle")
        plan = _plan(bundle, folder)
        forget = functools.partial(_forget, folder / "cache")
        runs = take_turns(
            [
                Command("its inferences, and the import", (sys.executable, "-c", _INFERENCES, json.dumps(plan)), env),
                Command("edgetool validate", validate, env, before=forget),
                Command("edgetool validate, nothing changed", validate, env),
            ],
            rounds=options.rounds,
            log=folder / "log",
        )
        report(runs, against="its inferences, and the import", limits={"edgetool validate": _LIMIT})
        _draw(bundle, folder, rounds=options.rounds)


def _plan(bundle: Path, folder: Path) -> dict[str, Any]:
    """What the validation runs: the engine and the reference, and the example's samples."""
    from edgetool.bundle.read import read_bundle
    from edgetool.engine.cache import Cache
    from edgetool.validate.data import open_dataset

    manifest = read_bundle(bundle).manifest
    imported = next(row for row in Cache(folder / "cache").entries() if row.step == "import")
    (reference,) = imported.directory.rglob("*.onnx")
    engine = bundle / manifest.entry
    data = open_dataset("data:evaluation", root=_EXAMPLE, signature=manifest.signature)
    samples = np.stack([feeds["image"] for feeds in data])
    np.save(folder / "samples.npy", samples)
    return {
        "networks": [str(engine), str(reference)],
        "samples": str(folder / "samples.npy"),
        "input": "image",
        "threads": 2,
        "seconds": _LATENCY_SECONDS,
    }


def _forget(cache: Path) -> None:
    """The next validation runs again; everything before it is known."""
    from edgetool.engine.cache import Cache

    kept = Cache(cache)
    for entry in list(kept.entries()):
        if entry.step == "validate":
            kept.remove(entry)
    shutil.rmtree(cache / "measurements", ignore_errors=True)


def _draw(bundle: Path, folder: Path, *, rounds: int) -> None:
    """Size of the HTML report, and the time to write it and to lay it out in a browser."""
    from edgetool.bundle.read import read_bundle
    from edgetool.report.collect import report_of
    from edgetool.report.document import Summary
    from edgetool.report.html.page import render

    found = report_of(read_bundle(bundle))
    summary = Summary((found,))
    nodes = found.placement.nodes if found.placement else 0
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        text = render(summary)
        seconds.append(time.perf_counter() - started)
    page = folder / "report.html"
    page.write_text(text)
    size, drawn = page.stat().st_size, statistics.median(seconds)
    print(f"  report of {nodes} nodes: {size / 1024:.0f} KiB "
          f"(at most 2 MiB: {'held' if size <= _REPORT_BYTES else 'MISSED'}), written in {drawn:.3f} s")  # fmt: skip
    if shutil.which("chromium"):
        shown = statistics.median(_browser(page) for _ in range(rounds))
        empty = folder / "empty.html"
        empty.write_text("<!doctype html><title>empty</title>")
        shown -= statistics.median(_browser(empty) for _ in range(rounds))
        held = drawn + shown <= _REPORT_SECONDS
        print(f"  laid out in Chromium in {shown:.3f} s more than an empty page "
              f"(together at most 1 s: {'held' if held else 'MISSED'})")  # fmt: skip


def _browser(page: Path) -> float:
    started = time.perf_counter()
    subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", page.as_uri()],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    return time.perf_counter() - started
