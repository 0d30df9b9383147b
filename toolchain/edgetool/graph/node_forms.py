"""Has every node the inputs, outputs and attributes that its operator defines?

Libraries that infer shapes and fold constants take this for granted. onnx.checker asks it, too, but it refuses more
than that: what it says about types and shapes should not keep anybody from looking into a model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgetool.errors import ModelError
from edgetool.graph.walk import node_label, subgraphs

if TYPE_CHECKING:
    import onnx

_HELD_IN = {4: "t", 5: "g", 11: "sparse_tensor", 13: "tp"}
"""AttributeProto.AttributeType to the field, where there is no value that a missing field could stand for."""


@dataclass(frozen=True, slots=True)
class _Form:
    """What an operator defines: how many inputs and outputs, and the type of each attribute."""

    inputs: tuple[int, int]
    outputs: tuple[int, int]
    attributes: Mapping[str, int]
    required: frozenset[str]


def check_node_forms(model: onnx.ModelProto, opsets: Mapping[str, int], *, where: str) -> None:
    """Refuse nodes that their operator does not allow, and functions that call themselves.

    Args:
        model: its operators are known.
        opsets: version by domain.
        where: the file, for messages.

    Raises:
        ModelError: `invalid-model` or `graph-cycle`.
    """
    forms = _Forms()
    forms.check(model.graph.node, opsets, where)
    for function in model.functions:
        own = {"" if row.domain == "ai.onnx" else row.domain: row.version for row in function.opset_import}
        forms.check(function.node, own, f"{where}: function {function.name}")
    _check_calls(model.functions, where)


class _Forms:
    """Looks each operator up once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, int], _Form | None] = {}

    def check(self, nodes: Sequence[onnx.NodeProto], opsets: Mapping[str, int], where: str) -> None:
        for index, node in enumerate(nodes):
            domain = "" if node.domain == "ai.onnx" else node.domain
            form = self._form(node.op_type, domain, opsets.get(domain, 0))
            for fault in _value_faults(node) if form is None else (*_value_faults(node), *_form_faults(node, form)):
                raise ModelError(
                    "invalid-model",
                    f"{node.op_type} {fault}",
                    where=f"{where}: node {node_label(node, index)}",
                    hint="repair the export of this node",
                )
            for inner in subgraphs(node):
                self.check(inner.node, opsets, where)

    def _form(self, op_type: str, domain: str, version: int) -> _Form | None:
        """None for operators that ONNX does not define, such as the model's own functions."""
        import onnx.defs

        key = (op_type, domain, version)
        if key not in self._known:
            found = version > 0 and onnx.defs.has(op_type, version, domain)
            self._known[key] = _form_of(onnx.defs.get_schema(op_type, version, domain)) if found else None
        return self._known[key]


def _form_of(schema: onnx.defs.OpSchema) -> _Form:
    attributes = schema.attributes
    return _Form(
        inputs=(schema.min_input, schema.max_input),
        outputs=(schema.min_output, schema.max_output),
        attributes={name: int(attribute.type.value) for name, attribute in attributes.items()},
        required=frozenset(name for name, attribute in attributes.items() if attribute.required),
    )


def _value_faults(node: onnx.NodeProto) -> Iterator[str]:
    """What is wrong with the attributes whatever the operator is."""
    names = [attribute.name for attribute in node.attribute]
    for name in names:
        if names.count(name) > 1:
            yield f"has attribute {name!r} twice"
    for attribute in node.attribute:
        field = _HELD_IN.get(attribute.type)
        if field is not None and not attribute.HasField(field) and not attribute.ref_attr_name:
            yield f"has attribute {attribute.name!r} without a value"


def _form_faults(node: onnx.NodeProto, form: _Form) -> Iterator[str]:
    for what, count, (least, most) in (
        ("inputs", len(node.input), form.inputs),
        ("outputs", len(node.output), form.outputs),
    ):
        if not least <= count <= most:
            yield f"has {count} {what}, but its operator takes {least if count < least else most}"
    for attribute in node.attribute:
        wanted = form.attributes.get(attribute.name)
        if wanted is None:
            yield f"has no attribute {attribute.name[:80]!r}"
        elif attribute.type != wanted:
            yield f"has attribute {attribute.name!r} of type {attribute.type} instead of {wanted}"
    for name in form.required - {attribute.name for attribute in node.attribute}:
        yield f"lacks its attribute {name!r}"


def _check_calls(functions: Sequence[onnx.FunctionProto], where: str) -> None:
    """Functions are put in the place of their calls; one that leads back to itself would never end."""
    calls = {
        (function.domain, function.name): {(node.domain, node.op_type) for node in _all_nodes(function.node)}
        for function in functions
    }
    done: set[tuple[str, str]] = set()
    while ready := [name for name, called in calls.items() if name not in done and not (called & calls.keys()) - done]:
        done.update(ready)
    if left := [name for _, name in calls.keys() - done]:
        raise ModelError(
            "graph-cycle",
            f"functions call each other in a circle: {', '.join(sorted(left)[:6])}",
            where=where,
            hint="repair the export: ONNX has no recursion",
        )


def _all_nodes(nodes: Sequence[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for inner in subgraphs(node):
            yield from _all_nodes(inner.node)
