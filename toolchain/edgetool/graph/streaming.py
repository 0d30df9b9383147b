"""Models as onnx_ir sees them: tensors stay in their files until somebody asks, so a pass can walk over 2 GB and more.

`load` and `save` of this package hand out protos, which suit reading and small edits. A pass that rewrites the graph
uses these two instead: uses of a value can be followed, and tensors are mapped in, changed and written one at a time.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.disk import private_folder, written_aside
from edgetool.errors import ModelError
from edgetool.graph.load import load
from edgetool.graph.save import INLINE_LIMIT, SMALL_TENSOR
from edgetool.graph.write import LateTensor, write_model

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

_LATE_OVER = 1 << 20  # bytes


def load_ir(path: Path) -> ir.Model:
    """Load a model for rewriting; external data is checked now and read when it is used.

    Raises:
        ConfigError, ModelError: as `edgetool.graph.load`.
    """
    return as_ir(load(path, weights=False), path.parent, where=str(path))


def as_ir(proto: onnx.ModelProto, folder: Path, *, where: str) -> ir.Model:
    """A model that was loaded without its weights, for rewriting.

    Args:
        proto: the model.
        folder: where its external data lies.
        where: the file, for messages.

    Raises:
        ModelError: `invalid-model`.
    """
    import onnx_ir as ir
    import onnx_ir.external_data

    try:
        model = ir.from_proto(proto)
    except ir.serde.SerdeError as error:
        cause = error.__cause__ or error
        raise ModelError(
            "invalid-model", f"its graph makes no sense: {cause}", where=where, hint="export the model again"
        ) from error
    onnx_ir.external_data.set_base_dir(model.graph, str(folder))
    return model


def save_ir(model: ir.Model, path: Path, *, inline_limit: int = INLINE_LIMIT) -> None:
    """Write a model, as `edgetool.graph.save` does; lazy tensors are computed one at a time.

    Args:
        model: it.
        path: the .onnx file to write.
        inline_limit: bytes of weights up to which they go into that file, which readers hold whole in memory.

    Raises:
        HostError: disk full, or no permission.
    """
    import onnx_ir as ir
    import onnx_ir.external_data

    if stored_bytes(model) > inline_limit:
        data = path.name + ".data"
        with private_folder(path) as folder:
            ir.save(
                model,
                folder / path.name,
                format="protobuf",
                external_data=data,
                size_threshold_bytes=SMALL_TENSOR,
                max_workers=1,
            )
            (folder / data).replace(path.with_name(data))
            (folder / path.name).replace(path)
        return
    late = _late_tensors(model)
    for value in late:
        model.graph.initializers.pop(value.name)
    skeleton = ir.to_proto(onnx_ir.external_data.load_to_model(model))
    with written_aside(path) as file:
        write_model(file, skeleton, [_late(value) for value in late])
    for value in late:
        model.graph.register_initializer(value)


def _late_tensors(model: ir.Model) -> list[ir.Value]:
    """Initializers worth writing one at a time."""
    return [
        value
        for value in model.graph.initializers.values()
        if value.const_value is not None and value.const_value.nbytes > _LATE_OVER
    ]


def _late(value: ir.Value) -> LateTensor:
    import onnx

    tensor = value.const_value
    assert tensor is not None  # `_late_tensors` chose it
    head = onnx.TensorProto(name=value.name, data_type=int(tensor.dtype), dims=tensor.shape.numpy())
    return LateTensor(head, tensor.nbytes, tensor.tobytes)


def stored_bytes(model: ir.Model) -> int:
    """Bytes of the initializers of all graphs."""
    return sum(
        value.const_value.nbytes
        for graph in (model.graph, *model.graph.subgraphs())
        for value in graph.initializers.values()
        if value.const_value is not None
    )
