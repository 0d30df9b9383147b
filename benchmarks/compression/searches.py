"""Rows about `edgetool tune`: what it keeps where nothing pays, and how it stands beside NNCF's accuracy control."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.compression.findings import Check, Finding
from benchmarks.compression.project import Entry, start, write_project
from benchmarks.tune import ROWS

_ROOT = Path(__file__).parents[2]
_TIME = "3m"
_TINY = {"digits": "onnxruntime", "japanese_vowels": "onnxruntime"}
_DOUBT = 0.05
"""By which a recipe may look faster than float in one measurement and not be."""
_INT8 = ('{ use = "simplify" }', '{ use = "quantize-static" }')


def keeps_float(folder: Path) -> list[Finding]:
    """Tune networks that are too small for int8, at batch 1."""
    return [_tuned(example, backend, folder / example) for example, backend in _TINY.items()]


def _tuned(example: str, backend: str, folder: Path) -> Finding:
    importlib.import_module(f"examples.{example}.prepare").main()
    project = write_project(_ROOT / "examples" / example, folder, [Entry("int8", _INT8, backend)])
    arguments = ["tune", "--target", "int8", "--max-drop", "1%", "--time", _TIME, "--json"]
    if example == "digits":
        arguments += ["--set", "model.dims.batch.opt=1"]
    done = start(*arguments, folder=project)
    name = f"{example} on {backend}"
    if done.returncode or not done.stdout.strip():
        return Finding(name, failure=(done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1])
    found = json.loads(done.stdout.splitlines()[-1])
    return _judged(name, found)


def _judged(name: str, found: Mapping[str, Any]) -> Finding:
    """Float has to be kept where no int8 recipe was faster than float, and where one is chosen, it has to be faster."""
    speeds = {point["name"]: point["latency"]["speedup"] for point in found["points"] if point["latency"]}
    reasons = {point["name"]: point["reason"] for point in found["points"]}
    chosen = found["chosen"]
    figures = (
        f"chosen: {chosen}: {reasons.get(chosen)}",
        *(f"{recipe}: {speed:.2f} x float's speed" for recipe, speed in speeds.items() if recipe != chosen),
    )
    least = 1.0 if found["pays"] else max((speed for recipe, speed in speeds.items() if recipe != chosen), default=0.0)
    data = {"chosen": chosen, "pays": found["pays"], "speeds": speeds}
    if found["pays"]:
        return Finding(name, figures, data, (Check("times float's speed of what is chosen", speeds[chosen], least),))
    kept = Check("times float's speed of the fastest recipe that was left", least, 1 + _DOUBT, at_least=False)
    return Finding(name, figures, data, (kept,))


def against_nncf(example: str, folder: Path) -> list[Finding]:
    """`benchmarks.tune` for one network, read from what it prints."""
    command = [sys.executable, "-m", "benchmarks.tune", example]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    name = f"tune beside quantize_with_accuracy_control, {example}"
    if done.returncode:
        return [Finding(name, failure=(done.stderr.strip() or "no output").splitlines()[-1])]
    lines = [line.strip() for line in done.stdout.splitlines() if line.startswith("    ")]
    shares = re.search(r"was there after ([\d.]+|inf) x NNCF's wall time", done.stdout)
    if shares is None:
        return [Finding(name, tuple(lines), failure="no share of NNCF's wall time was printed")]
    point = re.search(r"engine is ([\d.]+) x .* loses (-?[\d.]+), NNCF's (-?[\d.]+)", done.stdout)
    if point is None:
        return [Finding(name, tuple(lines), failure="the two engines were not compared")]
    faster, lost, limit = float(point[1]), float(point[2]), next(row.max_drop for row in ROWS if row.example == example)
    checks = (
        Check("times NNCF's wall time until tune's point was there", float(shares[1]), 0.5, at_least=False),
        Check("times the speed of NNCF's engine", faster, 1 - _DOUBT),
        Check("lost", lost, limit, at_least=False),
    )
    return [Finding(name, tuple(lines), {"printed": done.stdout}, checks)]
