"""The table: each row with its network, its data, and what it has to reach."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.compression import limits, mnist, searches
from benchmarks.compression.accuracy import Likeness, Task, load_data
from benchmarks.compression.engines import Contest, Wanted, contest
from benchmarks.compression.findings import Finding
from benchmarks.compression.peers import Peer
from benchmarks.compression.project import Entry
from edgetool.runner import Feeds

_EXAMPLES = Path(__file__).parents[2] / "examples"
SIMPLIFY = '{ use = "simplify" }'
INT8 = '{ use = "quantize-static" }'
ATTENTION = '{ use = "quantize-static", attention_scores = true, attention_values = true }'
EQUALIZED = '{ use = "quantize-static", equalization = 0.5, pools = true }'
ONE_PHOTO = '{ use = "specialize", dims = { batch = 1 } }'
FLOAT_STEM = (
    '{ use = "quantize-static", equalization = 0.5, pools = true, exclude = ["node_Conv_805", "node_Conv_807"] }'
)
"""The first two convolutions stay float: few channels, where ONNX Runtime's int8 kernels gain nothing."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        key: as `--rows` names it.
        title: network, data and metric.
        wanted: in words.
        measure: does it, in a scratch folder.
        minutes: after which the row is given up.
    """

    key: str
    title: str
    wanted: str
    measure: Callable[[Path], Sequence[Finding]]
    minutes: float = 20


def _example(name: str) -> Path:
    importlib.import_module(f"examples.{name}.prepare").main()
    return _EXAMPLES / name


def _task(example: Path, *, likeness: Likeness, grouped: bool = False) -> Task:
    return Task(load_data(example), likeness, grouped)


def _lines(example: Path) -> Task:
    from benchmarks.compression.lines import unlabelled

    return Task(load_data(example), "text", extra=unlabelled)


def _first(feeds: Sequence[Feeds]) -> Feeds:
    return feeds[0]


def _first_row(feeds: Sequence[Feeds]) -> Feeds:
    return {name: np.ascontiguousarray(values[:1]) for name, values in feeds[0].items()}


def _tokens(feeds: Sequence[Feeds], *, count: int = 128) -> Feeds:
    """The first text that has so many tokens, cut there."""
    long = next(feed for feed in feeds if feed["input_ids"].shape[1] >= count)
    return {name: np.ascontiguousarray(values[:1, :count]) for name, values in long.items()}


def _photos(name: str, *entries: tuple[Entry, Wanted], one_row: bool = False) -> Callable[[Path], Sequence[Finding]]:
    peers: tuple[Peer, ...] = ("ort-per-tensor", "ort-per-channel", "nncf")
    plan = Contest(
        example=partial(_example, name),
        task=partial(_task, likeness="winner", grouped=True),
        entries=entries,
        timed=_first_row,
        peers=peers,
        one_row=one_row,
    )
    return partial(contest, plan)


def _minilm(*entries: tuple[Entry, Wanted], peers: tuple[Peer, ...] = ()) -> Callable[[Path], Sequence[Finding]]:
    plan = Contest(
        example=partial(_example, "minilm"),
        task=partial(_task, likeness="cosine"),
        entries=entries,
        timed=_tokens,
        peers=peers,
    )
    return partial(contest, plan)


def _mnist(*entries: tuple[Entry, Wanted]) -> Callable[[Path], Sequence[Finding]]:
    task = partial(_task, likeness="winner")
    return partial(contest, Contest(example=mnist.prepare, task=task, entries=entries, timed=_first))


def _pruned(amount: float, wanted: Wanted = Wanted()) -> tuple[Entry, Wanted]:  # noqa: B008  # it is frozen
    passes = (f'{{ use = "prune-channels", amount = {amount} }}', SIMPLIFY)
    return Entry(f"amount-{round(amount * 100)}", passes), wanted


ROWS = (
    Row(
        "minilm",
        "MiniLM; Pearson on lee.cor, 50 documents",
        "engine >= 6 x smaller than float32, archived bundle >= 8 x, at most 0.01 lost",
        _minilm(
            (
                Entry("int4", (SIMPLIFY, '{ use = "quantize-weights", bits = 4, method = "gptq" }')),
                Wanted(smaller=6, lost=0.01),
            ),
            (
                Entry(
                    "int4-wide", (SIMPLIFY, '{ use = "quantize-weights", bits = 4, method = "gptq", block_size = 128 }')
                ),
                Wanted(smaller=6, archived=8, lost=0.01),
            ),
            (
                Entry("palette", (SIMPLIFY, '{ use = "cluster-weights", bits = 3.4 }')),
                Wanted(archived=8, lost=0.01),
            ),
            peers=("ort-dynamic",),
        ),
    ),
    Row(
        "minilm-speed",
        "MiniLM; Pearson on lee.cor, 50 documents; 128 tokens, batch 1",
        "OpenVINO int8 >= 3.0 x float ONNX Runtime (aim 3.3), ONNX Runtime int8 >= 2.1 x (aim 2.3), at most 0.01 lost",
        _minilm(
            (
                Entry("ov", (SIMPLIFY, ATTENTION), "openvino"),
                Wanted(faster=3.0, lost=0.01),
            ),
            (Entry("ort", (SIMPLIFY, INT8)), Wanted(faster=2.1, lost=0.01)),
            peers=("nncf-transformer", "ort-dynamic"),
        ),
    ),
    Row(
        "minilm-layers",
        "MiniLM; Pearson on lee.cor, 50 documents",
        "drop-layers and low-rank: float engine >= 2.4 x smaller, at most 0.02 lost",
        _minilm(
            (
                Entry("shorter", (SIMPLIFY, '{ use = "drop-layers", count = 3 }', '{ use = "low-rank", keep = 0.53 }')),
                Wanted(smaller=2.4, lost=0.02),
            ),
            (Entry("dropped", (SIMPLIFY, '{ use = "drop-layers", count = 3 }')), Wanted()),
            (Entry("factored", (SIMPLIFY, '{ use = "low-rank", keep = 0.7 }')), Wanted()),
        ),
    ),
    Row(
        "efficientnet",
        "EfficientNet-lite0; top-1 on 200 views of 20 photos, agreement also on 100 crops",
        "int8, at most 0.01 lost",
        _photos(
            "efficientnet_lite0",
            (Entry("ort", (SIMPLIFY, EQUALIZED)), Wanted(lost=0.01)),
            (Entry("ov", (SIMPLIFY, EQUALIZED), "openvino"), Wanted(lost=0.01)),
        ),
    ),
    Row(
        "mobilenet",
        "MobileNetV2; top-1 on 200 views of 20 photos, agreement also on 100 crops; OpenVINO's engines for one photo",
        "int8, at most 0.02 lost; OpenVINO >= 2.3 x float ONNX Runtime",
        _photos(
            "mobilenetv2",
            (Entry("ort", (SIMPLIFY, FLOAT_STEM)), Wanted(lost=0.02)),
            (Entry("ov", (SIMPLIFY, EQUALIZED, ONE_PHOTO), "openvino"), Wanted(lost=0.02, faster=2.3)),
            one_row=True,
        ),
    ),
    Row(
        "text",
        "PP-OCR recognition; lines read without a mistake (60), agreement on 200 other lines without labels",
        "int8: agreement >= 0.965 at >= 2.2 x float ONNX Runtime",
        partial(
            contest,
            Contest(
                example=partial(_example, "ppocr"),
                task=_lines,
                entries=(
                    (Entry("ov", (SIMPLIFY, INT8), "openvino"), Wanted(agreement=0.965, faster=2.2)),
                    (Entry("ort", (SIMPLIFY, INT8)), Wanted()),
                ),
                timed=_first_row,
                peers=("nncf",),
            ),
        ),
    ),
    Row(
        "magika",
        "magika; file types",
        "engine >= 7 x smaller, at most 0.002 lost",
        partial(
            contest,
            Contest(
                example=partial(_example, "magika"),
                task=partial(_task, likeness="winner"),
                entries=(
                    (
                        Entry(
                            "int4",
                            (SIMPLIFY, '{ use = "quantize-weights", bits = 4, block_size = 0, method = "hqq" }'),
                        ),
                        Wanted(smaller=7, lost=0.002),
                    ),
                ),
                timed=_first_row,
                peers=("ort-dynamic",),
            ),
        ),
    ),
    Row(
        "mnist",
        "MNIST network of 106 thousand parameters; top-1 on 2000 digits",
        "archived bundle >= 20 x smaller, at most 0.005 lost",
        _mnist(
            (
                Entry(
                    "archived",
                    (
                        SIMPLIFY,
                        '{ use = "prune-magnitude", sparsity = 0.9, scope = "global" }',
                        '{ use = "cluster-weights", bits = 3 }',
                    ),
                ),
                Wanted(archived=20, lost=0.005),
            ),
        ),
    ),
    Row(
        "mnist-channels",
        "MNIST network of 106 thousand parameters; top-1 on 2000 digits; not trained again",
        "prune-channels: >= 1.5 x fewer MACs with at most 0.01 lost (aim 3 x); the whole curve",
        _mnist(
            _pruned(0.34, Wanted(fewer_macs=1.5, lost=0.01)),
            *(_pruned(amount) for amount in (0.5, 0.6, 0.67, 0.75, 0.8, 0.85, 0.9)),
        ),
    ),
    Row(
        "tiny",
        "digits (94 thousand parameters, batch 1) and JapaneseVowels (biGRU)",
        "where int8 is slower, `tune` keeps float and says so",
        searches.keeps_float,
    ),
    *(
        Row(
            f"tune-{key}",
            f"{title}; the same target, samples, metric and limit for both",
            "edgetool tune: no worse than NNCF's accuracy control, and there in at most half of its wall time",
            partial(searches.against_nncf, example),
            minutes=40,
        )
        for key, example, title in (
            ("text", "ppocr", "PP-OCR recognition"),
            ("minilm", "minilm", "MiniLM"),
            ("mobilenet", "mobilenetv2", "MobileNetV2"),
        )
    ),
    Row(
        "memory",
        "a synthetic model of 8 GB, float32",
        "quantize-weights int8: at most 2 GB resident, >= 100 MB/s of a core",
        limits.streamed,
    ),
    Row(
        "histograms",
        "MobileNetV2, calibrated with 16 and with 128 samples",
        "peak memory of calibration independent of the number of samples",
        limits.calibrated,
    ),
)
