"""Reads a Signature from an ONNX graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.artifact import Model
from edgetool.errors import ModelError
from edgetool.graph.element import element
from edgetool.graph.load import load
from edgetool.graph.shapes import with_inferred_types
from edgetool.signature import Dim, DimRange, Signature, TensorSpec

if TYPE_CHECKING:
    import onnx

_NAMELESS = frozenset({"", "?", "-1", "None"})
"""What exporters write as the name of a dimension that has none; two of them need not be equal."""


def read_model(path: Path, dims: Mapping[str, DimRange] | None = None) -> Model:
    """The Model of an ONNX file; its external weights are checked but not read.

    Args:
        path: the .onnx file.
        dims: ranges of symbolic dimensions; those that the inputs do not use are left out.

    Raises:
        ConfigError, ModelError: as `load` and `read_signature`.
    """
    return Model(path, read_signature(load(path, weights=False), dims or {}, where=str(path)))


def read_signature(proto: onnx.ModelProto, dims: Mapping[str, DimRange] | None = None, *, where: str) -> Signature:
    """Inputs and outputs of a model as its graph declares them.

    An input's dimension that has neither size nor name is called `INPUT_dimAXIS`, so that a range can be declared for
    it. Initializers that are also listed as graph inputs (as IR version 3 wanted) are no inputs. Outputs without a
    shape get the inferred one.

    Args:
        proto: the model; weights need not be loaded.
        dims: ranges of symbolic dimensions.
        where: the file, for messages.

    Raises:
        ModelError: `unsupported-type` for a sequence, map or optional; `unknown-rank` when no shape can be found.
    """
    stored = {tensor.name for tensor in proto.graph.initializer}
    inputs = tuple(_input(value, where) for value in proto.graph.input if value.name not in stored)
    outputs = tuple(_spec(value, where) for value in _outputs(proto))
    signature = Signature(inputs, outputs)
    known = {name: wanted for name, wanted in (dims or {}).items() if name in signature.symbols}
    return Signature(inputs, outputs, known)


def complete_outputs(proto: onnx.ModelProto) -> bool:
    """Write the inferred types of outputs that have none into the graph; onnx.checker wants them there.

    Returns:
        True when the graph changed.
    """
    inferred = _outputs(proto)
    changed = False
    for value, found in zip(proto.graph.output, inferred, strict=True):
        if not _is_complete(value) and _is_complete(found):
            value.CopyFrom(found)
            changed = True
    return changed


def _input(value: onnx.ValueInfoProto, where: str) -> TensorSpec:
    spec = _spec(value, where)
    shape = tuple(f"{spec.name}_dim{axis}" if dim is None else dim for axis, dim in enumerate(spec.shape))
    return TensorSpec(spec.name, spec.dtype, shape)


def _outputs(proto: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The graph's outputs, with inferred types where the file gives none."""
    declared = list(proto.graph.output)
    if all(_is_complete(value) for value in declared):
        return declared
    return list(with_inferred_types(proto).graph.output)


def _is_complete(value: onnx.ValueInfoProto) -> bool:
    kind = value.type.WhichOneof("value")
    return kind is not None and (kind != "tensor_type" or value.type.tensor_type.HasField("shape"))


def _spec(value: onnx.ValueInfoProto, where: str) -> TensorSpec:
    where = f"{where}: {value.name}"
    kind = value.type.WhichOneof("value")
    if kind is not None and kind != "tensor_type":
        raise ModelError(
            "unsupported-type",
            f"{value.name!r} is a {kind.removesuffix('_type')}, not a tensor",
            where=where,
            hint="export plain tensors (scikit-learn: options={'zipmap': False})",
        )
    tensor = value.type.tensor_type
    if kind is None or not tensor.HasField("shape"):
        raise ModelError(
            "unknown-rank",
            f"the file does not say how many dimensions {value.name!r} has",
            where=where,
            hint="export with shapes, or declare the input's shape in [model.inputs]",
        )
    return TensorSpec(value.name, element(tensor.elem_type, where=where).name, tuple(map(_dim, tensor.shape.dim)))


def _dim(dim: onnx.TensorShapeProto.Dimension) -> Dim:
    """A size, a name, or None; exporters write 0 and -1 where they mean that they do not know."""
    if dim.HasField("dim_value") and dim.dim_value > 0:
        return int(dim.dim_value)
    return None if dim.dim_param in _NAMELESS else str(dim.dim_param)
