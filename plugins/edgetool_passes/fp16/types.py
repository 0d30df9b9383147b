"""What ONNX's schemas say about a node's types: which dtypes come out, and which ports may have 16 bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgetool_passes.fp16.form import Form

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

_NAMES = {
    "tensor(float)": "FLOAT",
    "tensor(float16)": "FLOAT16",
    "tensor(bfloat16)": "BFLOAT16",
    "tensor(double)": "DOUBLE",
    "tensor(bool)": "BOOL",
    "tensor(string)": "STRING",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
}


@dataclass(frozen=True, slots=True)
class Ports:
    """Which inputs and outputs of a node may have 16 bits, by position."""

    inputs: tuple[bool, ...]
    outputs: tuple[bool, ...]

    @property
    def any(self) -> bool:
        return any(self.inputs) or any(self.outputs)


def schema_of(node: ir.Node, opsets: dict[str, int]) -> onnx.defs.OpSchema | None:
    """The operator's schema at the model's opset; None for operators that ONNX does not define."""
    import onnx.defs

    version = opsets.get(node.domain) or (opsets.get("ai.onnx") if not node.domain else None)
    if version is None or not onnx.defs.has(node.op_type, version, node.domain):
        return None
    return onnx.defs.get_schema(node.op_type, version, node.domain)


def half_ports(node: ir.Node, schema: onnx.defs.OpSchema | None, form: Form) -> Ports:
    """The ports that the schema lets be of this form; none for a node without schema or with subgraphs."""
    import onnx_ir as ir

    graphs = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
    if schema is None or any(attribute.type in graphs for attribute in node.attributes.values()):
        return Ports((False,) * len(node.inputs), (False,) * len(node.outputs))
    half = {row.type_param_str for row in schema.type_constraints if form.type_str in row.allowed_type_strs}
    return Ports(
        tuple(_type_str(schema.inputs, index) in half for index in range(len(node.inputs))),
        tuple(_type_str(schema.outputs, index) in half for index in range(len(node.outputs))),
    )


def gains_form(model: onnx.ModelProto, form: Form, *, opset: int) -> bool:
    """Whether an operator of the model takes a form in this opset that it does not take in the model's own."""
    import onnx.defs

    from edgetool.graph.opset import opset_of
    from edgetool.graph.walk import graphs

    def takes(op_type: str, version: int) -> bool:
        if not onnx.defs.has(op_type, version, ""):
            return False
        rows = onnx.defs.get_schema(op_type, version, "").type_constraints
        return any(form.type_str in row.allowed_type_strs for row in rows)

    own = opset_of(model)
    kinds = {node.op_type for graph in graphs(model.graph) for node in graph.node if node.domain in ("", "ai.onnx")}
    return any(takes(kind, opset) and not takes(kind, own) for kind in kinds)


def _type_str(formals: list[onnx.defs.OpSchema.FormalParameter], index: int) -> str:
    """The formal type of a port; the last formal parameter may stand for any number of ports."""
    return str(formals[min(index, len(formals) - 1)].type_str) if formals else ""


def infer_dtypes(model: ir.Model) -> None:
    """Fill in the dtypes that shape inference left open, in subgraphs too, as far as the schemas tell."""
    _infer_graph(model.graph, dict(model.opset_imports))


def _infer_graph(graph: ir.Graph, opsets: dict[str, int]) -> None:
    for node in graph:
        for attribute in node.attributes.values():
            for inner in _graphs(attribute):
                _type_body_inputs(node, inner)
                _infer_graph(inner, opsets)
        if all(value.dtype is not None for value in node.outputs):
            continue
        schema = schema_of(node, opsets)
        for index, value in enumerate(node.outputs):
            if value.dtype is None:
                value.dtype = _output_dtype(node, index, schema)


def _graphs(attribute: ir.Attr) -> tuple[ir.Graph, ...]:
    import onnx_ir as ir

    if attribute.type == ir.AttributeType.GRAPH and not attribute.is_ref():
        return (attribute.as_graph(),)
    if attribute.type == ir.AttributeType.GRAPHS and not attribute.is_ref():
        return tuple(attribute.as_graphs())
    return ()


def _type_body_inputs(node: ir.Node, body: ir.Graph) -> None:
    """The state that a loop carries has, inside, the dtype that it has outside."""
    import onnx_ir as ir

    carried = node.inputs
    if node.op_type == "Loop":
        for value, dtype in zip(body.inputs, (ir.DataType.INT64, ir.DataType.BOOL), strict=False):
            value.dtype = value.dtype or dtype
    for inside, outside in zip(reversed(body.inputs), reversed(carried), strict=False):
        if inside.dtype is None and outside is not None:
            inside.dtype = outside.dtype


def _output_dtype(node: ir.Node, index: int, schema: onnx.defs.OpSchema | None) -> ir.DataType | None:
    import onnx_ir as ir

    for name in ("to", "dtype"):
        if name in node.attributes:
            return ir.DataType(node.attributes[name].as_int())
    if node.op_type in ("Constant", "ConstantOfShape"):
        value = node.attributes.get("value")
        return value.as_tensor().dtype if value is not None else ir.DataType.FLOAT
    bodies = [graph for attribute in node.attributes.values() for graph in _graphs(attribute)]
    if bodies:
        offset = 1 if node.op_type == "Loop" else 0
        outputs = bodies[0].outputs
        return outputs[index + offset].dtype if index + offset < len(outputs) else None
    if schema is None:
        return None
    wanted = _type_str(schema.outputs, index)
    if wanted in _NAMES:
        return ir.DataType[_NAMES[wanted]]
    for position, value in enumerate(node.inputs):
        if value is not None and value.dtype is not None and _type_str(schema.inputs, position) == wanted:
            return value.dtype
    return None
