"""How ONNX Runtime executes an engine, read back from the graph that it optimized for this machine."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgetool.artifact import Engine
from edgetool.backends.base import Evidence, NodeEvidence
from edgetool.errors import ModelError
from edgetool.graph import node_label
from edgetool.graph.element import ELEMENTS
from edgetool.graph.precision import is_integer_kernel
from edgetool_onnxruntime.lowering import unfused_in
from edgetool_onnxruntime.options import OnnxRuntimeOptions, device_of
from edgetool_onnxruntime.session import CPU, RECORD_ASSIGNMENT, assigned_providers, open_session

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx

_FIXED_RESULTS = {
    "Shape": "int64",
    "Size": "int64",
    "NonZero": "int64",
    "ArgMax": "int64",
    "ArgMin": "int64",
    "Equal": "bool",
    "Greater": "bool",
    "GreaterOrEqual": "bool",
    "Less": "bool",
    "LessOrEqual": "bool",
    "IsNaN": "bool",
    "IsInf": "bool",
    "QuantizeLinear": "int8",
    "DynamicQuantizeLinear": "int8",
}


def read_evidence(engine: Engine, options: OnnxRuntimeOptions, *, threads: int) -> Evidence:
    """One row for each kernel of the optimized graph, and the quantized nodes that run in float after all."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            graph, assigned = _executed(engine.path, options, Path(scratch), threads=threads)
        except ModelError:
            if options.providers == [CPU]:
                raise
            # A provider that compiles whole subgraphs leaves no graph that could be written down.
            return Evidence()
    types = _value_types(graph)
    rows = tuple(
        NodeEvidence(
            name=node_label(node, index),
            op_type=node.op_type,
            precision=_precision(node, types),
            device=_device(node.name, assigned),
        )
        for index, node in enumerate(graph.node)
    )
    return Evidence(rows, unfused_in(graph))


def _executed(
    path: Path, options: OnnxRuntimeOptions, scratch: Path, *, threads: int
) -> tuple[onnx.GraphProto, Mapping[str, str]]:
    """The optimized graph without its weights, and node name -> provider."""
    import onnx

    dump = scratch / "optimized.onnx"
    entries = {
        **options.session_entries,
        **RECORD_ASSIGNMENT,
        # Otherwise a model of more than 2 GiB could not be dumped.
        "session.optimized_model_external_initializers_file_name": "weights",
        "session.optimized_model_external_initializers_min_size_in_bytes": "64",
    }
    settings = replace(options.settings(threads), entries=entries, optimized_path=dump)
    session = open_session(path, settings)
    return onnx.load(str(dump), load_external_data=False).graph, assigned_providers(session)


def _device(name: str, assigned: Mapping[str, str]) -> str:
    """A kernel that was fused under a new name belongs to the one provider there is, if there is but one."""
    providers = {assigned[name]} if name in assigned else set(assigned.values()) or {CPU}
    return device_of(providers.pop()) if len(providers) == 1 else "unknown"


def _value_types(graph: onnx.GraphProto) -> dict[str, str]:
    """Tensor name -> element type; a fused operator's result has the type of its first input unless stated."""
    types = {tensor.name: ELEMENTS[tensor.data_type].name for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        element = ELEMENTS.get(value.type.tensor_type.elem_type)
        if element is not None:
            types[value.name] = element.name
    for node in graph.node:
        result = _result_type(node, types)
        for name in node.output:
            types.setdefault(name, result)
    return types


def _result_type(node: onnx.NodeProto, types: Mapping[str, str]) -> str:
    if node.op_type in _FIXED_RESULTS:
        return _FIXED_RESULTS[node.op_type]
    if node.op_type == "Cast":
        return next(ELEMENTS[attribute.i].name for attribute in node.attribute if attribute.name == "to")
    if node.op_type in ("DequantizeLinear", "MatMulIntegerToFloat") or node.op_type.startswith("Dynamic"):
        return "float32"
    position = 1 if node.op_type == "Where" else 0
    known = [types.get(name, "unknown") for name in node.input[position : position + 1]]
    return known[0] if known else "unknown"


def _precision(node: onnx.NodeProto, types: Mapping[str, str]) -> str:
    if is_integer_kernel(node.op_type) or node.op_type == "QuantizeLinear":
        return "int8"
    results = [types.get(name, "unknown") for name in node.output if name]
    precision = results[0] if results else "unknown"
    return "int8" if precision == "uint8" else precision
