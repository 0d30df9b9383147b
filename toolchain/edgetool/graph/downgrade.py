"""Writes a model in an older opset, operator by operator, where onnx's own converter has no way down.

Most new versions of an operator only admit more types, or add an attribute or an input whose absence means the old
behaviour: such a node is valid in the older version as it stands, which the two schemas tell. A few moved an attribute
into an input, and are moved back when that input is constant. Whatever changed its meaning without changing its schema
is listed, and refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgetool.graph.walk import graphs, node_label

if TYPE_CHECKING:
    import onnx
    import onnx.defs

OLDEST_TARGET = 11
"""Below, too many operators changed their meaning (Resize, Pad, Clip, Softmax's axes)."""

_CHANGED_MEANING = frozenset({"DFT", "GroupNormalization"})
_AXES = frozenset({"Squeeze", "Unsqueeze"})
_NEW_MODES = {
    ("Pad", "mode"): frozenset({b"wrap"}),
    ("Resize", "coordinate_transformation_mode"): frozenset({b"half_pixel_symmetric"}),
}
"""Values of attributes that the older versions do not know, though they know the attribute."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A node that cannot be written in the older opset.

    Attributes:
        node: its label.
        reason: one sentence.
    """

    node: str
    reason: str


def downgrade(model: onnx.ModelProto, opset: int) -> Obstacle | None:
    """Rewrite `model` in place for an older opset.

    Args:
        model: without functions; weights may be external, but small constants must be inline.
        opset: 11 or later, and older than the model's.

    Returns:
        What stands in the way, or None. `model` is half rewritten if something does.
    """
    constants = _constants(model)
    current = next(entry for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    for graph in graphs(model.graph):
        for index, node in enumerate(graph.node):
            if node.domain in ("", "ai.onnx") and (reason := _lower(node, current.version, opset, constants)):
                return Obstacle(node_label(node, index), reason)
    current.version = opset
    return None


Constants = Mapping[str, "onnx.TensorProto"]


def _constants(model: onnx.ModelProto) -> Constants:
    """Tensors whose values are in the file, by name."""
    found: dict[str, onnx.TensorProto] = {}
    for graph in graphs(model.graph):
        found |= {tensor.name: tensor for tensor in graph.initializer}
        held = [(node, attribute) for node in graph.node if node.op_type == "Constant" for attribute in node.attribute]
        found |= {node.output[0]: attribute.t for node, attribute in held if attribute.name == "value"}
    return found


def _lower(node: onnx.NodeProto, current: int, opset: int, constants: Constants) -> str | None:
    """Make one node valid in the older opset, or say why not."""
    import onnx.defs

    new = onnx.defs.get_schema(node.op_type, current)
    if new.since_version <= opset:
        return None
    if not onnx.defs.has(node.op_type, opset):
        return f"{node.op_type} came with a later opset than {opset}"
    old = onnx.defs.get_schema(node.op_type, opset)
    if old.deprecated or node.op_type in _CHANGED_MEANING:
        return f"{node.op_type} means something else in opset {opset}"
    if reason := _rewritten(node, new, old, constants):
        return reason
    return _mismatch(node, new, old)


def _rewritten(
    node: onnx.NodeProto, new: onnx.defs.OpSchema, old: onnx.defs.OpSchema, constants: Constants
) -> str | None:
    """Apply the operator's own rule, if it has one; a reason if that is impossible for this node."""
    had_axes = "axes" in old.attributes and "axes" not in new.attributes
    if node.op_type.startswith("Reduce") or node.op_type in _AXES:
        return _to_attribute(node, "axes", constants) if had_axes else None
    rule = _RULES.get(node.op_type)
    return rule(node, old, constants) if rule else None


def _to_attribute(node: onnx.NodeProto, name: str, constants: Constants) -> str | None:
    """Turn the second input into an attribute of integers."""
    import onnx.helper
    import onnx.numpy_helper

    if any(attribute.name == "noop_with_empty_axes" and attribute.i for attribute in node.attribute):
        return f"{node.op_type} without axes means something else"
    _drop(node, "noop_with_empty_axes")
    if len(node.input) < 2 or not node.input[1]:
        del node.input[1:]
        return None
    tensor = constants.get(node.input[1])
    if tensor is None or tensor.external_data:
        return f"the {name} of this {node.op_type} are computed"
    values = onnx.numpy_helper.to_array(tensor).reshape(-1).tolist()
    node.attribute.append(onnx.helper.make_attribute(name, values))
    del node.input[1:]
    return None


def _lower_split(node: onnx.NodeProto, old: onnx.defs.OpSchema, constants: Constants) -> str | None:
    _drop(node, "num_outputs")  # without it, the older versions split evenly, or fail where that is impossible
    return _to_attribute(node, "split", constants) if "split" in old.attributes else None


def _lower_softmax(node: onnx.NodeProto, old: onnx.defs.OpSchema, constants: Constants) -> str | None:
    """Up to opset 12 everything from `axis` on was one axis: the same only for the last."""
    import onnx.helper

    if old.since_version >= 13:
        return None
    if next((attribute.i for attribute in node.attribute if attribute.name == "axis"), -1) != -1:
        return f"{node.op_type} over another axis than the last means something else"
    _drop(node, "axis")
    node.attribute.append(onnx.helper.make_attribute("axis", -1))
    return None


def _lower_grid_sample(node: onnx.NodeProto, old: onnx.defs.OpSchema, constants: Constants) -> str | None:
    """Opset 20 renamed the modes."""
    import onnx.helper

    if old.since_version >= 20:
        return None
    names = {b"linear": "bilinear", b"cubic": "bicubic", b"nearest": "nearest"}
    mode = next((attribute.s for attribute in node.attribute if attribute.name == "mode"), b"linear")
    _drop(node, "mode")
    node.attribute.append(onnx.helper.make_attribute("mode", names.get(mode, mode.decode())))
    return None


def _lower_roi_align(node: onnx.NodeProto, old: onnx.defs.OpSchema, constants: Constants) -> str | None:
    """Before opset 16 there was one coordinate transformation, which is not today's default."""
    mode = [attribute.s for attribute in node.attribute if attribute.name == "coordinate_transformation_mode"]
    if old.since_version < 16 and mode != [b"output_half_pixel"]:
        return "RoiAlign samples at other points"
    if old.since_version < 16:
        _drop(node, "coordinate_transformation_mode")
    return None


_Rule = Callable[["onnx.NodeProto", "onnx.defs.OpSchema", Constants], "str | None"]
_RULES: Mapping[str, _Rule] = {
    "GridSample": _lower_grid_sample,
    "Hardmax": _lower_softmax,
    "LogSoftmax": _lower_softmax,
    "RoiAlign": _lower_roi_align,
    "Softmax": _lower_softmax,
    "Split": _lower_split,
}


def _mismatch(node: onnx.NodeProto, new: onnx.defs.OpSchema, old: onnx.defs.OpSchema) -> str | None:
    """Why the node, as it stands, is not valid in the older schema, or would mean something else there."""
    while node.input and not node.input[-1]:
        del node.input[-1]
    if len(node.input) > old.max_input or len(node.output) > old.max_output:
        return f"{node.op_type} has more inputs or outputs than opset {old.since_version} knows"
    for attribute in list(node.attribute):
        if attribute.name not in old.attributes:
            default = new.attributes[attribute.name].default_value
            if attribute.SerializeToString() != default.SerializeToString() and not _equals(attribute, default):
                return f"{node.op_type} of opset {old.since_version} has no attribute {attribute.name}"
            _drop(node, attribute.name)
        elif attribute.s in _NEW_MODES.get((node.op_type, attribute.name), frozenset()):
            return f"{node.op_type} of opset {old.since_version} has no {attribute.name} {attribute.s.decode()}"
    present = {attribute.name for attribute in node.attribute}
    for name in old.attributes.keys() - present:
        if name in new.attributes and not _equals(
            new.attributes[name].default_value, old.attributes[name].default_value
        ):
            return f"the default of {node.op_type}'s {name} was another"
        if old.attributes[name].required:
            return f"{node.op_type} of opset {old.since_version} wants the attribute {name}"
    return None


def _equals(one: onnx.AttributeProto, other: onnx.AttributeProto) -> bool:
    """Whether two attributes have one value."""
    fields: Sequence[str] = ("type", "f", "i", "s", "floats", "ints", "strings")
    return all(getattr(one, field) == getattr(other, field) for field in fields)


def _drop(node: onnx.NodeProto, name: str) -> None:
    for index in reversed(range(len(node.attribute))):
        if node.attribute[index].name == name:
            del node.attribute[index]
