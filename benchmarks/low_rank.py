"""What `drop-layers` and `low-rank` reach on MiniLM in float: size, metric, agreement, speed on both runtimes.

The example's 48 texts calibrate, its 50 documents judge; intervals are bootstraps by document. The recipe `drop3to2.4`
is what is required: 2.4 times smaller with at most 0.02 of the metric lost.
"""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.compression.accuracy import Task, load_data
from benchmarks.compression.engines import Contest, Wanted, contest
from benchmarks.compression.project import Entry
from edgetool.runner import Feeds

EXAMPLE = Path(__file__).parents[1] / "examples" / "minilm"
TOKENS = 128

CURVE: dict[str, tuple[str, ...]] = {
    "float": (),
    "drop1": ("drop-layers, count = 1",),
    "drop2": ("drop-layers, count = 2",),
    "drop3": ("drop-layers, count = 3",),
    "words": ("low-rank, keep = 0.65, op_types = []",),
    "products": ("low-rank, keep = 0.85, embeddings = false",),
    "drop2to2": ("drop-layers, count = 2", "low-rank, keep = 0.58"),
    "drop3to2.4": ("drop-layers, count = 3", "low-rank, keep = 0.53"),
    "drop3to2.7": ("drop-layers, count = 3", "low-rank, keep = 0.47"),
}
"""Recipes by name: passes and their options."""
REQUIRED = "drop3to2.4"


def main() -> None:
    """Print the curve."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    importlib.import_module("examples.minilm.prepare").main()
    with tempfile.TemporaryDirectory(prefix="edgetool-low-rank-") as folder:
        findings = contest(_plan(), Path(folder))
    print("low_rank: MiniLM, float32, against float ONNX Runtime; one thread, processor time, 128 tokens")
    for finding in findings:
        print(f"  {finding.name}")
        for line in (*finding.figures, *map(str, finding.checks), *([finding.failure] if finding.failure else [])):
            print(f"    {line}", flush=True)


def _plan() -> Contest:
    entries = []
    for name, passes in CURVE.items():
        tables = ('{ use = "simplify" }', *(_table(one) for one in passes))
        wanted = Wanted(smaller=2.4, lost=0.02) if name == REQUIRED else Wanted()
        for short, backend in (("ort", "onnxruntime"), ("ov", "openvino")):
            entries.append((Entry(f"{short}-{name.replace('.', '-')}", tables, backend), wanted))
    return Contest(
        example=lambda: EXAMPLE,
        task=lambda folder: Task(load_data(folder), "cosine"),
        entries=tuple(entries),
        timed=_timed,
    )


def _table(written: str) -> str:
    """`low-rank, keep = 0.5` as a TOML table."""
    name, _, options = written.partition(", ")
    return f'{{ use = "{name}", {options} }}'


def _timed(feeds: Sequence[Feeds]) -> Feeds:
    """The first text that is long enough, cut to 128 tokens."""
    long = next(feed for feed in feeds if feed["input_ids"].shape[1] >= TOKENS)
    return {name: np.ascontiguousarray(values[:, :TOKENS]) for name, values in long.items()}


if __name__ == "__main__":
    main()
