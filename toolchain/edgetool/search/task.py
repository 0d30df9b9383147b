"""The work of a search in a child process: an engine on the samples in parts, and the layers ranked by sensitivity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetool.engine.desk import Handler, Result, Talk, handler
from edgetool.engine.held import HeldEngine
from edgetool.engine.reference import open_reference
from edgetool.engine.requests import DataRequest, EngineFile, ModelFile, request_json
from edgetool.engine.samples import open_data
from edgetool.engine.tensors import Header, read_tensors, write_tensors
from edgetool.engine.trial import CompletedRunner, golden_feeds
from edgetool.passes.base import Rescaled
from edgetool.runner import Feeds, Runner
from edgetool.signature import Signature
from edgetool.validate.compare import check_labels
from edgetool.validate.comparison import Comparison, Score, Trial
from edgetool.validate.data import Dataset
from edgetool.validate.difference import DifferenceSum
from edgetool.validate.metrics import Metric, open_metric
from edgetool.validate.outputs import KeptOutputs, kept_outputs
from edgetool.validate.pair import Pair

if TYPE_CHECKING:
    import numpy as np

KEPT_BYTES = 256 << 20
"""Of samples that stay in the memory of a child: every recipe runs on them."""

STORED_BYTES = 512 << 20
"""What the reference's outputs may take on disk; samples beyond that are run again for each recipe."""


@dataclass(frozen=True, slots=True)
class ExpectTask:
    """Run the reference once for all recipes, and keep its outputs.

    Attributes:
        reference: the float model.
        signature: of the engines to compare with, which decides how samples are laid out.
        directory: where the outputs go.
        places: positions of the samples to run.
        fixed_inputs: values of inputs that the engines no longer have.
    """

    reference: ModelFile
    signature: Signature
    directory: Path
    evaluation: DataRequest
    places: tuple[int, ...]
    threads: int
    fixed_inputs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Expected:
    """Where the reference's outputs are: folder, and what each file in it holds, by position of the sample."""

    directory: Path
    headers: dict[int, Header]


@dataclass(frozen=True, slots=True)
class TryTask:
    """Compare an engine with the reference on some of the samples, and tell groups of them apart.

    Attributes:
        engine: what was built.
        reference: the float model.
        expected: its outputs.
        directory: where golden inputs for the measurement go.
        evaluation: the user's samples.
        parts: positions of the samples of each part; others are not run.
        groups: by name, the parts that are judged together.
        metric: name or `module:function`, if any.
        root: folder that the metric's module is found from.
        log: of the engine's process.
        seconds: limit for one request to it.
        fixed_inputs: values of inputs that the engine no longer has, for the reference.
    """

    engine: EngineFile
    reference: ModelFile
    expected: Expected
    directory: Path
    evaluation: DataRequest
    parts: tuple[tuple[int, ...], ...]
    groups: dict[str, tuple[int, ...]]
    metric: str | None
    root: Path
    log: Path
    seconds: float
    fixed_inputs: dict[str, Any] = field(default_factory=dict)
    python: str | None = None
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class LayersTask:
    """Rank the layers of a compressed model by what each adds to the error itself.

    Attributes:
        original: what the pass was given.
        compressed: what it made of it.
        data: real samples.
        samples: take at most this many of them.
    """

    original: ModelFile
    compressed: ModelFile
    data: DataRequest
    samples: int
    threads: int
    fixed_inputs: dict[str, Any] = field(default_factory=dict)
    rescaled: tuple[Rescaled, ...] = ()


@dataclass(frozen=True, slots=True)
class OperatorsTask:
    """Tell which operators a model has: what is worth trying on it follows from that."""

    model: ModelFile


def run_operators(task: OperatorsTask, talk: Talk) -> Result:
    """Types of all nodes, those of subgraphs too."""
    from edgetool.graph import load
    from edgetool.graph.walk import graphs

    graph = load(task.model.path, weights=False).graph
    return {"operators": sorted({node.op_type for one in graphs(graph) for node in one.node})}


def run_layers(task: LayersTask, talk: Talk) -> Result:
    """One pass over the samples for all layers together; the worst first, by the names of the original's nodes."""
    from edgetool.blame.findings import INAUDIBLE
    from edgetool.blame.measure import blame
    from edgetool.graph import load, node_label
    from edgetool.graph.opset import convert_opset, opset_of

    original, compressed = load(task.original.path), load(task.compressed.path)
    labels = {name: node_label(node, number) for number, node in enumerate(original.graph.node) for name in node.output}
    opset = max(opset_of(original), opset_of(compressed))
    data = open_data(task.data, task.compressed.signature, talk.desk, fixed=task.fixed_inputs)
    found = blame(
        convert_opset(original, opset, where=str(task.original.path)),
        convert_opset(compressed, opset, where=str(task.compressed.path)),
        list(_first(data, task.samples)),
        open_reference=lambda path: open_reference(path, task.threads),
        worst=0,
        progress=talk.progress,
        rescaled=task.rescaled,
    )
    return {
        "layers": [
            {"layer": labels[row.tensor], "alone_db": row.error.alone}
            for row in sorted(found.layers, key=lambda row: row.error.alone)
            if row.error.alone < INAUDIBLE and row.tensor in labels
        ],
    }


def _first(data: Dataset, rows: int) -> Iterator[Feeds]:
    """Feeds until so many samples are in them: a feed may be a batch."""
    for feeds in data:
        yield feeds
        rows -= max((array.shape[0] for array in feeds.values() if array.ndim), default=1)
        if rows <= 0:
            return


class StoredReference(Runner):
    """The reference's outputs from disk; the reference itself where those of a sample were not kept.

    Attributes:
        place: of the sample that the next call of `infer` is about.
    """

    def __init__(self, task: TryTask) -> None:
        self.signature = task.reference.signature
        self.place = 0
        self._task = task
        self._stack = ExitStack()
        self._running: Runner | None = None

    def infer(self, feeds: Feeds) -> dict[str, np.ndarray[Any, Any]]:
        expected = self._task.expected
        if self.place in expected.headers:
            return read_tensors(expected.directory / str(self.place), expected.headers[self.place])
        if self._running is None:
            opened = self._stack.enter_context(open_reference(self._task.reference.path, self._task.engine.threads))
            self._running = self._stack.enter_context(CompletedRunner(opened, self._task.fixed_inputs))
        return self._running.infer(feeds)

    def close(self) -> None:
        self._stack.close()


def run_expect(task: ExpectTask, talk: Talk) -> Result:
    """One file a sample, until they take too much room."""
    data = open_data(task.evaluation, task.signature, talk.desk, fixed=task.fixed_inputs, keep=KEPT_BYTES)
    wanted = frozenset(task.places)
    headers: dict[str, Header] = {}
    room = STORED_BYTES
    with (
        open_reference(task.reference.path, task.threads) as opened,
        CompletedRunner(opened, task.fixed_inputs) as reference,
    ):
        pair = Pair(reference, reference)
        for place, sample in enumerate(data.samples()):
            if place not in wanted:
                continue
            outputs = pair.run_reference(sample.feeds, sample.origin)
            room -= sum(array.nbytes for array in outputs.values())
            if room < 0:
                break
            headers[str(place)] = write_tensors(task.directory / str(place), outputs)
            talk.progress(len(headers), len(wanted), "samples")
    return {"headers": headers}


def run_try(task: TryTask, talk: Talk) -> Result:
    """Run both once on every sample; then each group is judged from what was kept.

    The engine stays open: it is measured next.
    """
    from edgetool.bundle.golden import write_golden

    signature = task.engine.signature
    data = open_data(task.evaluation, signature, talk.desk, fixed=task.fixed_inputs, keep=KEPT_BYTES)
    metric = open_metric(task.metric, root=task.root) if task.metric else None
    held = talk.desk.held = talk.desk.held or HeldEngine()
    engine = held.open(task.engine, task.log, task.seconds, memory=task.memory, python=task.python)
    with StoredReference(task) as reference:
        comparisons = _compare(task, reference, engine, data, metric, talk)
        golden = golden_feeds(signature, data)
        write_golden(task.directory, golden, {})
    return {
        "comparisons": {name: request_json(found) for name, found in comparisons.items()},
        "files": [] if metric is None else [str(path) for path in metric.files],
    }


@dataclass(slots=True)
class _Kept:
    """Outputs and labels of the samples that were run, in their order, and the part that each belongs to."""

    reference: KeptOutputs
    engine: KeptOutputs
    labels: list[object]
    parts: list[int]


def _compare(
    task: TryTask, reference: StoredReference, engine: Runner, data: Dataset, metric: Metric | None, talk: Talk
) -> dict[str, Comparison]:
    if metric is not None:
        check_labels(metric, data)
    part_of = {place: number for number, part in enumerate(task.parts) for place in part}
    sums: list[dict[str, DifferenceSum]] = [{} for _ in task.parts]
    pair = Pair(reference, engine)
    with ExitStack() as stack:
        kept = _Kept(stack.enter_context(kept_outputs()), stack.enter_context(kept_outputs()), [], [])
        for place, sample in enumerate(data.samples()):
            part = part_of.get(place)
            if part is None:
                continue
            reference.place = place
            expected = pair.run_reference(sample.feeds, sample.origin)
            found = pair.compare(
                sample.feeds, expected, sums[part], group="evaluation", where=sample.origin, values=True
            )
            if found is None or not pair.sound:
                break
            kept.parts.append(part)
            if metric is not None:
                kept.reference.append(expected)
                kept.engine.append(found)
                kept.labels.append(sample.label)
            talk.progress(len(kept.parts), len(part_of), "samples")
        scores = _scores(metric, kept, task.groups) if metric is not None and pair.sound else {}
    return {
        name: _comparison(task, data, pair, [sums[part] for part in parts], scores.get(name))
        for name, parts in task.groups.items()
    }


def _scores(metric: Metric, kept: _Kept, groups: Mapping[str, Sequence[int]]) -> dict[str, Score]:
    """The metric's drop that the samples of each group cause.

    A metric may be about all samples together (a correlation over pairs, a rank), so it is never asked about some of
    them alone: the engine's outputs of the group's samples take their places among the reference's outputs of all
    others. What a group loses is scaled up to all samples; for means that is the mean over the group itself, and for
    anything smooth it is so to first order.
    """
    whole = metric.evaluate(kept.reference, kept.labels)
    found = {}
    for name, parts in groups.items():
        inside = [part in parts for part in kept.parts]
        mixed = [kept.engine[at] if taken else kept.reference[at] for at, taken in enumerate(inside)]
        drop = (whole - metric.evaluate(mixed, kept.labels)) * len(inside) / max(1, sum(inside))
        found[name] = Score(metric.name, whole, whole - drop)
    return found


def _comparison(
    task: TryTask, data: Dataset, pair: Pair, sums: Sequence[dict[str, DifferenceSum]], score: Score | None
) -> Comparison:
    total: dict[str, DifferenceSum] = {}
    for one in sums:
        for name, found in one.items():
            total.setdefault(name, DifferenceSum(name)).include(found)
    differences = tuple(found.result() for found in total.values())
    return Comparison(
        precision=task.engine.precision,
        trials=(Trial("evaluation", "as given", sum(map(len, task.parts)), differences),),
        score=score,
        repeat_difference=0.0,
        samples=(data.count, data.digest),
        findings=tuple(pair.findings),
    )


TASKS: Mapping[str, Handler] = {
    "expect": handler(ExpectTask, run_expect),
    "layers": handler(LayersTask, run_layers),
    "operators": handler(OperatorsTask, run_operators),
    "try": handler(TryTask, run_try),
}
