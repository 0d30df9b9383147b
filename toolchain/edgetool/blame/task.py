"""Blame as a task of a child process: models from files, samples from the project."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from edgetool.engine.desk import Handler, Result, Talk, handler
from edgetool.engine.reference import open_reference
from edgetool.engine.requests import DataRequest, ModelFile
from edgetool.engine.samples import open_data
from edgetool.passes.base import Rescaled
from edgetool.signature import numpy_dtype

if TYPE_CHECKING:
    import onnx

    from edgetool.blame.findings import Blame


@dataclass(frozen=True, slots=True)
class BlameTask:
    """Rank the layers of a compressed model.

    Attributes:
        original: as imported.
        compressed: after the passes.
        data: real samples.
        samples: take at most this many of them.
        worst: layers to look at closely.
        fixed_inputs: inputs that `specialize` turned into constants, for the original.
        rescaled: tensors that passes scaled and renamed.
        of: what made the one network of the other: passes, or an exporter that should have changed nothing.
    """

    original: ModelFile
    compressed: ModelFile
    data: DataRequest
    samples: int
    worst: int
    threads: int
    fixed_inputs: dict[str, Any] = field(default_factory=dict)
    rescaled: tuple[Rescaled, ...] = ()
    of: Literal["compression", "export"] = "compression"


def run_blame(task: BlameTask, talk: Talk) -> Result:
    import numpy as np

    from edgetool.blame.measure import blame
    from edgetool.graph import load
    from edgetool.graph.opset import convert_opset, opset_of

    original, compressed = load(task.original.path), load(task.compressed.path)
    opset = max(opset_of(original), opset_of(compressed))
    original = convert_opset(original, opset, where=str(task.original.path))
    compressed = convert_opset(compressed, opset, where=str(task.compressed.path))
    data = open_data(task.data, task.compressed.signature, talk.desk, fixed=task.fixed_inputs)
    dtypes = {spec.name: numpy_dtype(spec.dtype) for spec in task.original.signature.inputs}
    fixed = {name: np.asarray(value, dtypes[name]) for name, value in task.fixed_inputs.items() if name in dtypes}
    samples = [{**feeds, **fixed} for feeds in itertools.islice(data, task.samples)]
    found = blame(
        original,
        compressed,
        samples,
        open_reference=lambda path: open_reference(path, task.threads),
        worst=task.worst,
        progress=talk.progress,
        rescaled=task.rescaled,
    )
    return (found if task.of == "compression" else _of_export(found, original, compressed)).to_json()


def _of_export(found: Blame, reference: onnx.ModelProto, exported: onnx.ModelProto) -> Blame:
    """The same with what each node does otherwise, and the node where the error begins first.

    What a layer adds itself to nothing but float arithmetic is a mistake, and no matter of degree: the order of the
    graph tells more than that of the effects.
    """
    from edgetool.blame.findings import INAUDIBLE
    from edgetool.blame.unlike import Unlike

    unlike = Unlike(reference, exported)
    places = {name: at for at, node in enumerate(exported.graph.node) for name in node.output}
    rows = []
    for row in found.layers:
        if row.error.alone < INAUDIBLE:
            told = unlike.told(row.tensor) or "it computes something else than the reference's, on the same inputs"
            row = replace(row, cause="export", fix=told)
        rows.append(row)
    rows.sort(key=lambda row: (row.error.alone >= INAUDIBLE, places[row.tensor]))
    return replace(found, layers=tuple(rows))


TASKS: Mapping[str, Handler] = {
    "blame": handler(BlameTask, run_blame),
}
