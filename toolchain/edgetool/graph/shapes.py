"""Concrete shapes of every tensor of a model, at one size of its dynamic dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from edgetool.graph.element import ELEMENTS

if TYPE_CHECKING:
    import onnx

Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TensorType:
    """What is known of one tensor: its shape in full, and the bytes it takes."""

    shape: Shape
    nbytes: int


@dataclass(frozen=True)
class ShapedGraph:
    """A graph with the types of its tensors.

    Attributes:
        graph: the graph that the names belong to: folded, so that shapes computed in the graph became constants.
        types: by tensor name, for every tensor (initializers and subgraphs' tensors too) whose shape is known in full.
    """

    graph: onnx.GraphProto
    types: Mapping[str, TensorType]


def infer_shapes(model: onnx.ModelProto, input_shapes: Mapping[str, Shape]) -> ShapedGraph:
    """Shapes of all tensors when the inputs have these shapes.

    Args:
        model: weights need not be loaded; it is not modified.
        input_shapes: by input name, all sizes fixed.
    """
    import onnx

    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    fix_inputs(fixed, input_shapes)
    inferred = with_inferred_types(fixed)
    shaped = ShapedGraph(inferred.graph, _types(inferred.graph))
    if _is_complete(shaped):
        return shaped
    folded = _folded(fixed)
    return ShapedGraph(folded.graph, _types(folded.graph))


def _folded(model: onnx.ModelProto) -> onnx.ModelProto:
    """Shapes that the graph computes become visible once its constants are folded."""
    import onnx_ir as ir
    import onnx_ir.passes

    from edgetool.graph.fold import fold

    try:
        graph = ir.from_proto(model)
        fold(graph)
        folded = ir.to_proto(graph)
    except (ir.passes.PassError, ir.serde.SerdeError):
        return model
    return with_inferred_types(folded)


def with_inferred_types(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the model with types and shapes as far as onnx can infer them; the model itself if it gives up."""
    import onnx.shape_inference

    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):  # what the C++ side raises varies
        return model


def fix_inputs(model: onnx.ModelProto, input_shapes: Mapping[str, Shape]) -> None:
    """Write the sizes into the inputs, and forget all that was inferred for other sizes; in place."""
    for value in model.graph.input:
        if value.name in input_shapes:
            dims = value.type.tensor_type.shape
            dims.ClearField("dim")
            for size in input_shapes[value.name]:
                dims.dim.add().dim_value = size
    model.graph.ClearField("value_info")
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")


def _types(graph: onnx.GraphProto) -> dict[str, TensorType]:
    from edgetool.graph.walk import graphs

    found: dict[str, TensorType] = {}
    for part in graphs(graph):
        for tensor in part.initializer:
            _add(found, tensor.name, tensor.data_type, tuple(tensor.dims))
        for value in (*part.input, *part.value_info, *part.output):
            tensor_type = value.type.tensor_type
            dims = tensor_type.shape.dim
            if tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
                _add(found, value.name, tensor_type.elem_type, tuple(int(dim.dim_value) for dim in dims))
    return found


def _add(found: dict[str, TensorType], name: str, number: int, shape: Shape) -> None:
    element = ELEMENTS.get(number)
    if element is not None:
        found[name] = TensorType(shape, element.nbytes(shape) or 0)


def _is_complete(shaped: ShapedGraph) -> bool:
    return all(name in shaped.types for node in shaped.graph.node for name in node.output if name)
