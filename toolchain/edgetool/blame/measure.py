"""Runs a compressed network beside its original on real samples, and tells what each layer adds to the error."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetool.blame.clusters import Cluster, clusters, shared_tensors
from edgetool.blame.findings import Blame, LayerBlame, LayerError, cause_of, fix_for
from edgetool.blame.histogram import Histogram, HistogramSum
from edgetool.blame.restored import restored
from edgetool.blame.signal import SignalSum
from edgetool.blame.variants import ALONE, alone, with_one_layer, with_outputs
from edgetool.disk import scratch_folder
from edgetool.passes.base import Rescaled
from edgetool.qdq.index import GraphIndex
from edgetool.runner import Feeds, Runner
from edgetool.signature import numpy_dtype

if TYPE_CHECKING:
    import numpy as np
    import onnx

Open = Callable[[Path], Runner]
Progress = Callable[[int, int, str], None]


def blame(
    original: onnx.ModelProto,
    compressed: onnx.ModelProto,
    samples: Sequence[Feeds],
    *,
    open_reference: Open,
    worst: int,
    progress: Progress,
    rescaled: Sequence[Rescaled] = (),
) -> Blame:
    """Rank the layers of a compressed network.

    Three runs over the samples: the original, the compressed network, and every layer alone on the original's inputs
    (twice where activations are quantized, to tell them from the weights). Then, for the `worst` layers, the original
    with only that layer compressed.

    Args:
        original, compressed: of one opset; tensors of one name mean the same thing.
        samples: name -> array, one entry an inference.
        open_reference: runs both.
        worst: how many layers to look at closely; with none the ranking is all that is wanted, and causes are not told.
        progress: told after each inference.
        rescaled: tensors that have another name in the compressed network, because passes scaled them.
    """
    compressed = restored(compressed, rescaled)
    shared = shared_tensors(original, compressed)
    layers = clusters(compressed, shared)
    quantized = any(node.op_type == "QuantizeLinear" for node in compressed.graph.node)
    with scratch_folder("edgetool-blame") as folder, ExitStack() as stack:
        opened = _Opener(folder, open_reference, stack)
        runs = {
            "original": opened(with_outputs(original, dict.fromkeys(shared, 1))),
            "compressed": opened(with_outputs(compressed, shared)),
            "alone": opened(alone(compressed, shared, quantized_activations=True)),
        }
        if quantized and worst:
            runs["weights_only"] = opened(alone(compressed, shared, quantized_activations=False))
        sums, outputs = _run_all(runs, samples, shared, original, progress)
    rows = [_row(layer, sums) for layer in layers]
    ranked = sorted(zip(rows, layers, strict=True), key=lambda pair: pair[0].alone)
    closely = ranked[:worst]
    effects = _effects(original, compressed, [layer for _, layer in closely], samples, open_reference, progress)
    histograms = _histograms(original, [layer for _, layer in closely], samples, open_reference)
    measured = {layer.tensor: effect for (_, layer), effect in zip(closely, effects, strict=True)}
    found = []
    for error, layer in ranked:
        error = replace(error, output=measured.get(layer.tensor))
        found.append((error, layer))
    found.sort(
        key=lambda pair: (pair[0].output is None, pair[0].output if pair[0].output is not None else pair[0].alone)
    )
    return Blame(
        layers=tuple(_blame(error, layer, histograms) for error, layer in found),
        samples=len(samples),
        outputs_db=outputs,
        unmatched=_unmatched(compressed, layers),
    )


class _Opener:
    """Saves variants, which are used up by it, and opens them; all are closed together."""

    def __init__(self, folder: Path, open_reference: Open, stack: ExitStack) -> None:
        self._folder, self._open, self._stack = folder, open_reference, stack
        self._count = 0

    def __call__(self, model: onnx.ModelProto) -> Runner:
        from edgetool.graph import save

        self._count += 1
        path = self._folder / f"variant{self._count}.onnx"
        save(model, path)
        return self._stack.enter_context(self._open(path))


Sums = dict[str, dict[str, SignalSum]]


def _run_all(
    runs: Mapping[str, Runner],
    samples: Sequence[Feeds],
    shared: Mapping[str, int],
    original: onnx.ModelProto,
    progress: Progress,
) -> tuple[Sums, float]:
    sums: Sums = {name: {} for name in runs if name != "original"}
    outputs = SignalSum()
    names = [value.name for value in original.graph.output]
    for number, feeds in enumerate(samples):
        wanted = runs["original"].infer(_taken(runs["original"], feeds))
        for name, runner in runs.items():
            if name == "original":
                continue
            found = runner.infer(_taken(runner, {**feeds, **wanted}))
            for tensor in shared:
                array = found.get(tensor if name == "compressed" else tensor + ALONE)
                if array is not None and array.shape == wanted[tensor].shape:
                    sums[name].setdefault(tensor, SignalSum()).add(wanted[tensor], array)
            if name == "compressed":
                for output in names:
                    if wanted[output].dtype.kind == "f":
                        outputs.add(wanted[output], found[output])
        progress(number + 1, len(samples), "samples, all layers at once")
    return sums, outputs.decibel


def _taken(runner: Runner, values: Feeds) -> dict[str, np.ndarray[Any, Any]]:
    """What of the values is an input, in the element type that it wants."""

    return {
        spec.name: values[spec.name].astype(numpy_dtype(spec.dtype), copy=False) for spec in runner.signature.inputs
    }


def _row(layer: Cluster, sums: Sums) -> LayerError:
    weights = sums.get("weights_only", {}).get(layer.tensor)
    reached = sums["compressed"][layer.tensor]
    return LayerError(
        alone=sums["alone"][layer.tensor].decibel,
        weights_only=weights.decibel if weights else None,
        cumulative=reached.decibel,
        output=None,
        cosine=reached.cosine,
    )


def _effects(
    original: onnx.ModelProto,
    compressed: onnx.ModelProto,
    layers: Sequence[Cluster],
    samples: Sequence[Feeds],
    open_reference: Open,
    progress: Progress,
) -> list[float]:
    """Signal over error at the outputs, in dB, with one layer compressed at a time."""
    if not layers:
        return []
    wanted = _outputs(with_outputs(original, {}), samples, open_reference)
    found = []
    for number, layer in enumerate(layers):
        total = SignalSum()
        one = _outputs(with_one_layer(original, compressed, layer), samples, open_reference)
        for expected, actual in zip(wanted, one, strict=True):
            for name, array in expected.items():
                if array.dtype.kind == "f":
                    total.add(array, actual[name])
        found.append(total.decibel)
        progress(number + 1, len(layers), "layers, one at a time")
    return found


def _outputs(model: onnx.ModelProto, samples: Iterable[Feeds], open_reference: Open) -> list[Feeds]:
    with scratch_folder("edgetool-blame") as folder, ExitStack() as stack:
        runner = _Opener(folder, open_reference, stack)(model)
        return [
            {name: array.copy() for name, array in runner.infer(_taken(runner, feeds)).items()} for feeds in samples
        ]


def _histograms(
    original: onnx.ModelProto, layers: Sequence[Cluster], samples: Iterable[Feeds], open_reference: Open
) -> dict[str, tuple[Histogram | None, Histogram]]:
    """Of each layer's weight and of the tensor that it reads, both as in the original."""
    index = GraphIndex(original.graph)
    reads = {layer.tensor: _input_of(layer.tensor, index) for layer in layers}
    wanted = {name for name in reads.values() if name is not None and name in index.producers}
    sums = {name: HistogramSum() for name in reads.values() if name is not None}
    with scratch_folder("edgetool-blame") as folder, ExitStack() as stack:
        runner = _Opener(folder, open_reference, stack)(with_outputs(original, dict.fromkeys(wanted, 1)))
        for feeds in samples:
            values = {**feeds, **runner.infer(_taken(runner, feeds))}
            for name, one in sums.items():
                if name in values and values[name].dtype.kind == "f":
                    one.add(values[name])
    found = {}
    for layer in layers:
        read = reads[layer.tensor]
        activations = sums[read].result() if read is not None else HistogramSum().result()
        found[layer.tensor] = (_weight_histogram(layer.tensor, index), activations)
    return found


def _input_of(tensor: str, index: GraphIndex) -> str | None:
    """The moving float input of the node that computes a tensor in the original."""
    node = index.producers.get(tensor)
    return next((name for name in node.input if name in index.moving), None) if node is not None else None


def _weight_histogram(tensor: str, index: GraphIndex) -> Histogram | None:
    node = index.producers.get(tensor)
    for name in node.input if node is not None else ():
        values = index.constant(name)
        if values is not None and values.dtype.kind == "f" and values.ndim > 1:
            total = HistogramSum()
            total.add(values)
            return total.result()
    return None


def _blame(
    error: LayerError, layer: Cluster, histograms: Mapping[str, tuple[Histogram | None, Histogram]]
) -> LayerBlame:
    weights, activations = histograms.get(layer.tensor, (None, None))
    cause = cause_of(error, marked=layer.marked)
    return LayerBlame(
        layer=layer.label,
        op_type=layer.op_type,
        tensor=layer.tensor,
        error=error,
        cause=cause,
        fix=fix_for(cause, layer, activations=activations),
        weights=weights,
        activations=activations,
    )


def _unmatched(compressed: onnx.ModelProto, layers: Sequence[Cluster]) -> int:
    """Nodes that belong to no layer."""
    known = {id(node) for layer in layers for node in layer.nodes}
    return sum(id(node) not in known for node in compressed.graph.node)
