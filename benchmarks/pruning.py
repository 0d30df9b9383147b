"""What pruning costs and gains: `python -m benchmarks.pruning [NETWORK ...]`.

`prune-channels` at several amounts, as engines for both CPU runtimes: accuracy, agreement with float, size, processor
time and multiply-accumulates; then `prune-magnitude`, whose zeros make archives smaller. Nothing is trained again. The
networks' own samples calibrate and judge, see `examples` and `benchmarks.compression.mnist`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.compression import mnist
from benchmarks.compression.accuracy import Likeness, Task, load_data
from benchmarks.compression.engines import Contest, Wanted, contest
from benchmarks.compression.project import Entry
from benchmarks.timing import print_machine
from edgetool.runner import Feeds

_EXAMPLES = Path(__file__).parents[1] / "examples"
_BACKENDS = {"ort": "onnxruntime", "ov": "openvino"}
_SIMPLIFY = '{ use = "simplify" }'
_TOKENS = 128


@dataclass(frozen=True, slots=True)
class Subject:
    """One network.

    Attributes:
        example: makes its folder ready and returns it.
        likeness: what agreement with float means.
        grouped: whether the rows of a feed are views of one thing.
        amounts: shares of multiply-accumulates to save.
        sparsities: options of `prune-magnitude`.
        required: amount -> what it has to reach.
    """

    example: Callable[[], Path]
    likeness: Likeness
    grouped: bool
    amounts: tuple[float, ...]
    sparsities: tuple[str, ...]
    required: dict[float, Wanted]


def _example(name: str) -> Callable[[], Path]:
    def ready() -> Path:
        importlib.import_module(f"examples.{name}.prepare").main()
        return _EXAMPLES / name

    return ready


SUBJECTS = {
    "mnist": Subject(
        mnist.prepare,
        "winner",
        grouped=False,
        amounts=(0.34, 0.5, 0.6, 0.67, 0.75, 0.8, 0.85, 0.9),
        sparsities=("sparsity = 0.5", 'pattern = "2:4"', 'sparsity = 0.9, scope = "global"'),
        required={0.34: Wanted(fewer_macs=1.5, lost=0.01), 0.67: Wanted(fewer_macs=3, lost=0.01)},
    ),
    "minilm": Subject(
        _example("minilm"),
        "cosine",
        grouped=False,
        amounts=(0.1, 0.2, 0.3),
        sparsities=("sparsity = 0.5", 'pattern = "2:4"'),
        required={},
    ),
    "mobilenetv2": Subject(
        _example("mobilenetv2"),
        "winner",
        grouped=True,
        amounts=(0.1, 0.2, 0.3),
        sparsities=("sparsity = 0.5",),
        required={},
    ),
    "efficientnet_lite0": Subject(
        _example("efficientnet_lite0"),
        "winner",
        grouped=True,
        amounts=(0.1, 0.2, 0.3),
        sparsities=("sparsity = 0.5",),
        required={},
    ),
}


def main(arguments: list[str] | None = None) -> None:
    """Print every network's curve."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pruning", description=__doc__)
    parser.add_argument("networks", nargs="*", choices=tuple(SUBJECTS), metavar="NETWORK", help=", ".join(SUBJECTS))
    print_machine()
    for name in parser.parse_args(arguments).networks or SUBJECTS:
        with tempfile.TemporaryDirectory(prefix="edgetool-pruning-") as folder:
            findings = contest(_plan(SUBJECTS[name]), Path(folder))
        print(f"{name}: against float ONNX Runtime; one thread, processor time")
        for finding in findings:
            print(f"  {finding.name}")
            for line in (*finding.figures, *map(str, finding.checks), *filter(None, [finding.failure])):
                print(f"    {line}", flush=True)


def _plan(subject: Subject) -> Contest:
    entries: list[tuple[Entry, Wanted]] = [(Entry("ov-float", (_SIMPLIFY,), "openvino"), Wanted())]
    for amount in subject.amounts:
        passes = (_SIMPLIFY, f'{{ use = "prune-channels", amount = {amount} }}')
        for short, backend in _BACKENDS.items():
            wanted = subject.required.get(amount, Wanted())
            entries.append((Entry(f"{short}-channels-{round(amount * 100)}", passes, backend), wanted))
    for number, options in enumerate(subject.sparsities):
        passes = (_SIMPLIFY, f'{{ use = "prune-magnitude", {options} }}')
        entries.append((Entry(f"ort-zeros-{number}", passes), Wanted()))
    return Contest(
        example=subject.example,
        task=lambda folder: Task(load_data(folder), subject.likeness, grouped=subject.grouped),
        entries=tuple(entries),
        timed=_timed,
    )


def _timed(feeds: Sequence[Feeds]) -> Feeds:
    """One sample; of texts the first that is long enough, cut."""
    if "input_ids" in feeds[0]:
        long = next(feed for feed in feeds if feed["input_ids"].shape[1] >= _TOKENS)
        return {name: np.ascontiguousarray(values[:1, :_TOKENS]) for name, values in long.items()}
    return {name: values[:1] for name, values in feeds[0].items()}


if __name__ == "__main__":
    main()
