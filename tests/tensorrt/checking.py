"""Asking for a verdict as the tests do: small models, one target a call, problems by what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgetool.artifact import Model
from edgetool.backends import Site, Support
from edgetool.graph import read_model
from edgetool.problem import Problem
from edgetool.signature import DimRange
from edgetool_tensorrt.check import verdict
from edgetool_tensorrt.choice import Kind
from edgetool_tensorrt.options import TensorRtOptions
from edgetool_tensorrt.version import Version

Array = np.ndarray[Any, Any]
Ends = Mapping[str, tuple[int, Sequence[Any] | None]]
FLOAT, HALF, INT8, INT64 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT8, TensorProto.INT64
ORIN = {"sm": 87, "ram": 8 << 30}


def make(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Ends,
    outputs: Ends,
    stored: Mapping[str, Array] | None = None,
    *,
    opset: int = 17,
    domains: Mapping[str, int] | None = None,
    functions: Sequence[onnx.FunctionProto] = (),
    dims: Mapping[str, DimRange] | None = None,
) -> Model:
    """Write a model; inputs and outputs are name -> (element type, shape)."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, *row) for name, row in inputs.items()],
        [helper.make_tensor_value_info(name, *row) for name, row in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in (stored or {}).items()],
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in {"": opset, **(domains or {})}.items()]
    onnx.save(helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=10), path)
    return read_model(path, dims or {})


def chain(path: Path, *op_types: str, dtype: int = FLOAT, shape: Sequence[Any] = (1, 4), **settings: Any) -> Model:
    """Operators with one input and one output, one after the other, each named like its operator in lower case."""
    names = ["x", *(f"t{number}" for number in range(len(op_types) - 1)), "y"]
    nodes = [
        helper.make_node(op_type, [names[i]], [names[i + 1]], op_type.lower()) for i, op_type in enumerate(op_types)
    ]
    return make(path, nodes, {"x": (dtype, shape)}, {"y": (dtype, shape)}, **settings)


def judge(
    model: Model,
    *,
    kind: Kind = "ssh",
    version: str | None = "10.7",
    facts: Mapping[str, Any] | None = None,
    **options: Any,
) -> Support:
    """The verdict for a target: Orin with TensorRT 10.7 by ssh, unless told otherwise."""
    site = Site(facts=dict(ORIN if facts is None else facts))
    parsed = Version.parse(version) if version else None
    return verdict(model, TensorRtOptions(**options), site, kind=kind, version=parsed)


def told(support: Support, text: str) -> Problem:
    """The one problem that says this."""
    found = [problem for problem in support.problems if text in problem.reason]
    assert len(found) == 1, [problem.reason for problem in support.problems]
    assert found[0].fix
    return found[0]


def quantized(
    path: Path,
    *,
    zero: Array | None,
    scale: Array | None = None,
    opset: int = 17,
    dtype: int = FLOAT,
    **attributes: Any,
) -> Model:
    """`x [4, 4] -> quantize -> dequantize -> y`."""
    grid = ["s", *(["z"] if zero is not None else [])]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", *grid], ["q"], "quantize", **attributes),
        helper.make_node("DequantizeLinear", ["q", *grid], ["y"], "dequantize", **attributes),
    ]
    stored = {"s": np.array(0.1, np.float32) if scale is None else scale, **({} if zero is None else {"z": zero})}
    return make(path, nodes, {"x": (dtype, (4, 4))}, {"y": (dtype, (4, 4))}, stored, opset=opset)
