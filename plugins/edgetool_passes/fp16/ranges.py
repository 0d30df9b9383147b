"""Measures how large the activations of a model get on the user's samples.

The model is run in the reference runtime with a few nodes added behind each value: they reduce it to its largest
magnitude, so that a run hands out one number a value and not the activations themselves.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.context import PassContext
from edgetool.disk import scratch_folder
from edgetool_passes.fp16.weights import MASK_FILL

if TYPE_CHECKING:
    import onnx_ir as ir

_PREFIX = "edgetool_peak_"
_KEEPS_RANGE = frozenset(
    {
        "Concat", "DepthToSpace", "Dropout", "Expand", "Flatten", "Gather", "Identity", "MaxPool", "Relu",
        "Reshape", "Sigmoid", "Slice", "Softmax", "SpaceToDepth", "Split", "Squeeze", "Tanh", "Tile", "Transpose",
        "Unsqueeze",
    }
)  # fmt: skip
"""Their outputs are no larger than their inputs (or than 1), so measuring those is enough."""


@dataclass(frozen=True)
class Ranges:
    """What was measured.

    Attributes:
        peaks: largest magnitude by value name, over all samples; fills of masks left out.
        sizes: largest number of elements by value name, where it was asked for.
        samples: how many samples were run.
    """

    peaks: Mapping[str, float]
    sizes: Mapping[str, int]
    samples: int


def measure(path: Path, names: Iterable[str], sized: Iterable[str], context: PassContext, *, samples: int) -> Ranges:
    """Run the model on the first samples and record magnitudes.

    Args:
        path: the float model.
        names: float32 values of its main graph.
        sized: values whose number of elements is wanted.
        context: lends the reference runtime and the samples; there must be some.
        samples: how many to run at most.

    Raises:
        EdgetoolError: whatever the reference runtime raises when a sample does not suit the model.
    """
    from edgetool.graph.streaming import load_ir, save_ir

    assert context.calibration is not None
    model = load_ir(path)
    inputs = [value.name for value in model.graph.inputs if value.name not in model.graph.initializers]
    outputs = {_PREFIX + str(index): name for index, name in enumerate(dict.fromkeys(names))}
    counts = {f"{_PREFIX}size_{index}": name for index, name in enumerate(dict.fromkeys(sized))}
    _add_probes(model, outputs, counts)
    peaks = dict.fromkeys(outputs.values(), 0.0)
    sizes = dict.fromkeys(counts.values(), 0)
    done = 0
    total = min(samples, context.calibration.count)
    with scratch_folder("edgetool-ranges") as folder:
        probed = folder / "probed.onnx"
        save_ir(model, probed)
        del model
        with context.open_reference(probed) as runner:
            for feeds in itertools.islice(context.calibration, samples):
                results = runner.infer({name: feeds[name] for name in inputs if name})
                for output, name in outputs.items():
                    peaks[name] = max(peaks[name], float(results[output]))
                for output, name in counts.items():
                    sizes[name] = max(sizes[name], int(results[output]))
                done += 1
                context.progress(done, total, "samples")
    return Ranges(peaks, sizes, done)


def needs_probe(node: ir.Node) -> bool:
    """False where the node's output cannot be larger than its inputs."""
    return node.op_type not in _KEEPS_RANGE


def _add_probes(model: ir.Model, peaks: Mapping[str, str], sizes: Mapping[str, str]) -> None:
    """Behind each value: its magnitudes, those of mask fills and NaN replaced by zero, and their maximum."""
    import numpy as np
    import onnx_ir as ir

    graph = model.graph
    values = {value.name: value for value in graph.inputs}
    values |= {value.name: value for node in graph for value in node.outputs}
    limit = ir.Value(name=_PREFIX + "limit", const_value=ir.tensor(np.float32(MASK_FILL), name=_PREFIX + "limit"))
    zero = ir.Value(name=_PREFIX + "zero", const_value=ir.tensor(np.float32(0), name=_PREFIX + "zero"))
    graph.register_initializer(limit)
    graph.register_initializer(zero)

    def append(op_type: str, inputs: list[ir.Value], attributes: list[ir.Attr] | None = None) -> ir.Value:
        node = ir.Node("", op_type, inputs, attributes or [])
        graph.append(node)
        return node.outputs[0]

    for output, name in peaks.items():
        magnitude = append("Abs", [values[name]])
        small = append("Where", [append("Less", [magnitude, limit]), magnitude, zero])
        peak = append("ReduceMax", [small], [ir.AttrInt64("keepdims", 0)])
        _expose(graph, peak, output, ir.DataType.FLOAT)
    for output, name in sizes.items():
        _expose(graph, append("Size", [values[name]]), output, ir.DataType.INT64)


def _expose(graph: ir.Graph, value: ir.Value, name: str, dtype: ir.DataType) -> None:
    import onnx_ir as ir

    value.name, value.dtype, value.shape = name, dtype, ir.Shape([])
    graph.outputs.append(value)
