"""Finds out where a model can be cut: types of the tensors between its nodes, and values of those that hold shapes.

First by inference; what that leaves open is seen in one run of the reference, where there is one and it can run the
model. Both in a child process: the model may be one that crashes whoever touches it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetool.engine.desk import Handler, Result, Talk, handler
from edgetool.engine.requests import ModelFile
from edgetool.errors import EdgetoolError
from edgetool.reduce.parts import Seams

if TYPE_CHECKING:
    import onnx

_SHAPE_LIKE = 64
"""Elements up to which an integer tensor without rows is taken for a shape, axes or sizes."""
_INTEGERS = frozenset({6, 7})  # TensorProto.INT32, INT64


@dataclass(frozen=True, slots=True)
class SeamsTask:
    """What is known of a model's tensors; it goes into `directory`.

    Attributes:
        look: run the reference once, at the shapes to tune for, where inference leaves something open.
    """

    model: ModelFile
    directory: Path
    threads: int
    look: bool


def run_seams(task: SeamsTask, talk: Talk) -> Result:
    """Write a model without nodes: what is known of each tensor, as `value_info` and initializers."""
    import onnx

    from edgetool.graph import load
    from edgetool.graph.shapes import with_inferred_types

    proto = load(task.model.path, weights=False)
    inferred = with_inferred_types(proto)
    known = {value.name: value for value in inferred.graph.value_info if _has_rank(value)}
    wanted = [name for node in proto.graph.node for name in node.output if name and _is_open(known.get(name))]
    found = onnx.ModelProto()
    found.graph.value_info.extend(known.values())
    try:
        if task.look:
            _look(task, proto, wanted, found.graph)
    except EdgetoolError as error:
        talk.note(f"the reference cannot run this model, so it is cut only where types can be inferred: {error}")
    (task.directory / _FOUND).write_bytes(found.SerializeToString())
    return {}


_FOUND = "seams.onnx"


def read_seams(directory: Path) -> Seams:
    """What `run_seams` wrote."""
    import onnx

    found = onnx.ModelProto()
    found.ParseFromString((directory / _FOUND).read_bytes())
    return Seams(
        types={value.name: value for value in found.graph.value_info},
        values={tensor.name: tensor for tensor in found.graph.initializer},
    )


def _has_rank(value: onnx.ValueInfoProto) -> bool:
    tensor = value.type.tensor_type
    return bool(tensor.elem_type) and tensor.HasField("shape")


def _is_open(value: onnx.ValueInfoProto | None) -> bool:
    """Whether a run has something to add: unknown sizes, or values that are shapes."""
    if value is None:
        return True
    tensor = value.type.tensor_type
    dims = tensor.shape.dim
    if any(not dim.HasField("dim_value") for dim in dims):
        return True
    return tensor.elem_type in _INTEGERS and (not dims or (len(dims) == 1 and dims[0].dim_value <= _SHAPE_LIKE))


def _look(task: SeamsTask, proto: onnx.ModelProto, wanted: Collection[str], found: onnx.GraphProto) -> None:
    """Run the model once with these tensors as further outputs. Raises EdgetoolError where it cannot run."""
    import onnx
    import onnx.numpy_helper

    from edgetool.engine.reference import open_reference
    from edgetool.graph import save
    from edgetool.validate.shapes import Shape, random_feeds

    if not wanted:
        return
    given = {value.name for value in proto.graph.output}
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted if name not in given)
    signature = task.model.signature
    feeds = random_feeds(signature, Shape("opt", {name: size.opt for name, size in signature.dims.items()}), seed=0)
    with tempfile.TemporaryDirectory(prefix="edgetool-seams-") as folder:
        path = Path(folder) / "model.onnx"
        save(proto, path, folder=task.model.path.parent)
        with open_reference(path, task.threads) as runner:
            results = runner.infer(feeds)
    types = {value.name: value for value in found.value_info}
    for name in wanted:
        _add(found, types.get(name), name, results[name], symbols=signature.dims)


def _add(
    graph: onnx.GraphProto,
    inferred: onnx.ValueInfoProto | None,
    name: str,
    array: Any,
    *,
    symbols: Collection[str],
) -> None:
    """Complete what was inferred by what was seen; a size that the user gave a range stays open."""
    import numpy as np
    import onnx
    import onnx.helper
    import onnx.numpy_helper

    array = np.asarray(array)
    if array.dtype == object:
        return
    tensor = onnx.numpy_helper.from_array(array, name)
    seen = onnx.helper.make_tensor_value_info(name, tensor.data_type, array.shape)
    if inferred is None:
        graph.value_info.append(seen)
    else:
        for dim, size in zip(inferred.type.tensor_type.shape.dim, array.shape, strict=True):
            if dim.dim_param not in symbols:
                dim.dim_value = size
    if tensor.data_type in _INTEGERS and array.ndim <= 1 and array.size <= _SHAPE_LIKE:
        graph.initializer.append(tensor)


TASKS: Mapping[str, Handler] = {
    "seams": handler(SeamsTask, run_seams),
}
