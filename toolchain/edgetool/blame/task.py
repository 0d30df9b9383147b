"""Blame as a task of a child process: models from files, samples from the project."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

from edgetool.engine.desk import Result, Talk
from edgetool.engine.reference import open_reference
from edgetool.engine.requests import DataRequest, ModelFile
from edgetool.engine.samples import open_data


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
    """

    original: ModelFile
    compressed: ModelFile
    data: DataRequest
    samples: int
    worst: int
    threads: int
    fixed_inputs: dict[str, Any] = field(default_factory=dict)


def run_blame(task: BlameTask, talk: Talk) -> Result:
    import numpy as np

    from edgetool.blame.measure import blame
    from edgetool.graph import load
    from edgetool.graph.opset import convert_opset, opset_of
    from edgetool.validate.fit import numpy_dtype

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
    )
    return found.to_json()
