"""Lowering: a recurrent layer that also reads backwards becomes forward layers over reversed sequences.

The generator takes a GRU without the attribute `direction` only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgetool.artifact import Lowering
from edgetool.graph.shapes import infer_shapes
from edgetool.qdq.editor import GraphEditor
from edgetool.qdq.index import GraphIndex, attribute

if TYPE_CHECKING:
    import onnx

_LENGTHS = 4
_STORED = (1, 2, 3, 5)
"""Places of W, R, B and the first state among the inputs, each with one entry a direction on its first axis."""


def forward_only(model: onnx.ModelProto) -> tuple[Lowering, ...]:
    """Split GRU nodes into forward ones, in place. What the generator cannot take anyway is left alone."""
    editor, index = GraphEditor(model.graph), GraphIndex(model.graph)
    times = _sequence_lengths(model)
    count = 0
    for node in list(model.graph.node):
        if node.op_type != "GRU" or node.domain not in ("", "ai.onnx"):
            continue
        written = next((entry for entry in node.attribute if entry.name == "direction"), None)
        if written is None:
            continue
        if written.s == b"forward":
            node.attribute.remove(written)
        elif node.input[0] in times and _can_split(node, index):
            _split(node, editor, index, both=written.s == b"bidirectional", length=times[node.input[0]])
            count += 1
    editor.commit()
    if not count:
        return ()
    return (Lowering("forward-recurrence", "backward recurrences run forwards over a reversed sequence", count),)


def _can_split(node: onnx.NodeProto, index: GraphIndex) -> bool:
    given = [place for place, name in enumerate(node.input) if name]
    own = {"activations", "activation_alpha", "activation_beta"} & {entry.name for entry in node.attribute}
    stored = all(index.constant(node.input[place]) is not None for place in _STORED if place in given)
    return stored and not own and _LENGTHS not in given and not attribute(node, "layout", 0)


def _sequence_lengths(model: onnx.ModelProto) -> dict[str, int]:
    """First axis of every tensor whose shape is fixed; nothing for models without GRU, which need no shapes."""
    if not any(node.op_type == "GRU" for node in model.graph.node):
        return {}
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name: value.type.tensor_type.shape.dim for value in model.graph.input if value.name not in stored}
    shaped = infer_shapes(model, {name: tuple(dim.dim_value for dim in dims) for name, dims in inputs.items()})
    return {name: found.shape[0] for name, found in shaped.types.items() if found.shape}


def _split(node: onnx.NodeProto, editor: GraphEditor, index: GraphIndex, *, both: bool, length: int) -> None:
    import numpy as np

    outputs = [*node.output, ""][:2]
    for name in filter(None, outputs):
        editor.detach(name)
    order = editor.constant(np.arange(length)[::-1].copy(), f"{node.input[0]}_order")
    found = {place: index.constant(node.input[place]) for place in _STORED if place < len(node.input)}
    stored = {place: values for place, values in found.items() if values is not None}
    parts: list[tuple[str, str]] = []
    for direction in range(2 if both else 1):
        backwards = not both or direction == 1
        sequence = editor.node("Gather", (node.input[0], order), f"{node.input[0]}_reversed") if backwards else ""
        inputs = [sequence or node.input[0], *("" for _ in node.input[1:])]
        for place, values in stored.items():
            inputs[place] = editor.constant(values[direction : direction + 1], node.input[place])
        states, last = editor.nodes("GRU", inputs, _wishes(node, direction))
        _copy_attributes(node, next(row for row in editor.graph.node if states in row.output))
        if backwards:
            states = editor.node("Gather", (states, order), f"{states}_in_order")
        parts.append((states, last))
    for place, (name, axis) in enumerate(zip(outputs, (1, 0), strict=True)):
        if name:
            editor.node_named("Concat", [part[place] for part in parts], name, axis=axis)
    for place in stored:
        editor.redirect(node, place, "")  # so that what nobody else reads goes with the node
    editor.graph.node.remove(node)


def _wishes(node: onnx.NodeProto, direction: int) -> tuple[str, str]:
    base = next(filter(None, node.output))
    return f"{base}_states{direction}", f"{base}_last{direction}"


def _copy_attributes(source: onnx.NodeProto, made: onnx.NodeProto) -> None:
    kept: list[Any] = [entry for entry in source.attribute if entry.name != "direction"]
    made.attribute.extend(kept)
