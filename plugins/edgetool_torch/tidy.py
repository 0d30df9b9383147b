"""Gives a graph the declared names and dimensions, and takes away what exporters leave in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from edgetool.signature import Dim, TensorSpec
from edgetool_torch.eager import Expectation
from edgetool_torch.routes import RejectedError

if TYPE_CHECKING:
    import onnx_ir as ir

_SYMBOL = re.compile(r"[A-Za-z_]\w*")


def tidy(
    model: ir.Model,
    *,
    inputs: Sequence[TensorSpec],
    order: Sequence[str],
    outputs: Sequence[tuple[int, str]],
    expectations: Sequence[Expectation],
) -> None:
    """Rename in place, drop unwanted outputs and the nodes only they needed, and forget where the graph came from.

    Exporters write stack traces with the paths of the author's machine into every node: the same network would give
    other bytes elsewhere.

    Args:
        model: as the exporter made it.
        inputs: the declared inputs, in their order.
        order: their names in the order of the graph.
        outputs: index and name of each wanted output.
        expectations: what eager gave, to know how outputs depend on the dimensions.

    Raises:
        RejectedError: an input is missing, or a dynamic dimension was frozen.
    """
    from onnx_ir.passes import common

    graph = model.graph
    if len(graph.inputs) != len(order):
        raise RejectedError(f"the graph has {len(graph.inputs)} inputs, {len(order)} are declared")
    symbols = _check_inputs(graph, inputs, order)
    _rename_symbols(model, symbols)
    _rename_values(graph, order, outputs)
    by_name = {value.name: value for value in graph.inputs}
    graph.inputs[:] = [by_name[spec.name] for spec in inputs]
    for spec, value in zip(inputs, graph.inputs, strict=True):
        value.shape = _shape(spec.shape)
    declared = {dim for spec in inputs for dim in spec.shape}
    if any(not isinstance(dim, int) and dim not in declared for value in graph.outputs for dim in _dims(value)):
        common.ShapeInferencePass()(model)
    for (index, name), value in zip(outputs, graph.outputs, strict=True):
        value.shape = _shape(_output_shape(value, index, name, expectations))
    common.RemoveUnusedNodesPass()(model)
    common.ClearMetadataAndDocStringPass()(model)
    for value in _values(graph):
        value.metadata_props.clear()
    model.metadata_props.clear()
    model.doc_string = None
    graph.name = "main_graph"


def _check_inputs(graph: ir.Graph, inputs: Sequence[TensorSpec], order: Sequence[str]) -> dict[str, str]:
    """The exporter's names of dimensions, and what the user calls them."""
    specs = {spec.name: spec for spec in inputs}
    symbols: dict[str, str] = {}
    for name, value in zip(order, graph.inputs, strict=True):
        for axis, (dim, size) in enumerate(zip(specs[name].shape, _dims(value), strict=True)):
            if isinstance(dim, str) and isinstance(size, int):
                raise RejectedError(f"froze dimension {dim!r} at {size} ({name}, axis {axis})")
            if isinstance(dim, str) and isinstance(size, str):
                symbols.setdefault(size, dim)
    return symbols


def _rename_symbols(model: ir.Model, symbols: Mapping[str, str]) -> None:
    for value in _values(model.graph):
        if value.shape is not None and not value.shape.is_static():
            renamed = [
                _SYMBOL.sub(lambda found: symbols.get(found[0], found[0]), dim) if isinstance(dim, str) else dim
                for dim in _dims(value)
            ]
            value.shape = _shape(renamed)


def _rename_values(graph: ir.Graph, order: Sequence[str], outputs: Sequence[tuple[int, str]]) -> None:
    """Inputs and outputs get their names; an inner value that has one of these names makes way."""
    chosen = [graph.outputs[index] for index, _ in outputs]
    targets = dict(zip(order, graph.inputs, strict=True))
    for (_, name), value in zip(outputs, chosen, strict=True):
        if targets.get(name, value) is not value or any(other is value for other in targets.values()):
            raise RejectedError(f"output {name!r} is the same value as another output or an input")
        targets[name] = value
    for value in list(_values(graph)):
        if value.name in targets and targets[value.name] is not value:
            value.name = f"{value.name}__inner"
    for name, value in targets.items():
        value.name = name
    graph.outputs[:] = chosen


def _values(graph: ir.Graph) -> Iterator[ir.Value]:
    """Every value of a graph and its subgraphs."""
    import onnx_ir as ir

    yield from graph.inputs
    yield from graph.initializers.values()
    for node in ir.traversal.RecursiveGraphIterator(graph):
        yield from node.outputs
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH:
                yield from attribute.as_graph().inputs
                yield from attribute.as_graph().initializers.values()


def _dims(value: ir.Value) -> list[Dim]:
    if value.shape is None:
        return []
    return [dim if isinstance(dim, int) else dim.value for dim in value.shape]


def _shape(dims: Sequence[Dim]) -> ir.Shape:
    import onnx_ir as ir

    return ir.Shape(dims)


def _output_shape(value: ir.Value, index: int, name: str, expectations: Sequence[Expectation]) -> list[Dim]:
    """What is known of an output: the exporter's word, corrected by what eager gave at different sizes.

    Raises:
        RejectedError: the graph says that an axis is fixed, eager says that it is not.
    """
    seen = [list(row.outputs.values())[index].shape for row in expectations]
    stated = _dims(value) or [None] * len(seen[0])
    if len(stated) != len(seen[0]):
        raise RejectedError(f"output {name!r} has {len(stated)} dimensions, the network gives {len(seen[0])}")
    shape: list[Dim] = []
    for axis, dim in enumerate(stated):
        sizes = [row[axis] for row in seen]
        follows = next(
            (
                symbol
                for symbol in expectations[0].sizes
                if all(row.sizes[symbol] == size for row, size in zip(expectations, sizes, strict=True))
            ),
            None,
        )
        if isinstance(dim, int) and set(sizes) != {dim}:
            which = f"dimension {follows!r}" if follows else "a dynamic dimension"
            raise RejectedError(
                f"froze {which}: output {name!r}, axis {axis}, is fixed at {dim}, the network gives "
                f"{min(sizes)}..{max(sizes)}"
            )
        shape.append(dim if isinstance(dim, int) else follows or _kept(dim, expectations[0].sizes) or f"{name}_{axis}")
    return shape


def _kept(dim: Dim, declared: Mapping[str, int]) -> str | None:
    """The exporter's expression, such as `2*batch`, if all of it is declared and it is not a mere (wrong) name."""
    if not isinstance(dim, str) or dim in declared:
        return None
    return dim if set(_SYMBOL.findall(dim)) <= {*declared, "floor", "Max", "Min", "Mod"} else None
