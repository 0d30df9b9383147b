"""The IR version is lowered to what the file needs, and never below it."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from edgetool.graph.ir_version import lower_ir_version, needed_ir_version


def model(
    ir_version: int, *, opset: int = 20, dtype: int = TensorProto.FLOAT, to: int | None = None
) -> onnx.ModelProto:
    node = helper.make_node("Cast", ["x"], ["y"], to=to) if to else helper.make_node("Relu", ["x"], ["y"])
    inputs = [helper.make_tensor_value_info("x", dtype, [1])]
    outputs = [helper.make_tensor_value_info("y", to or dtype, [1])]
    graph = helper.make_graph([node], "g", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


@pytest.mark.parametrize(
    ("proto", "needed"),
    [
        (model(14), 10),
        (model(9), 9),
        (model(8, opset=17), 8),
        (model(14, opset=25), 13),
        (model(14, dtype=TensorProto.FLOAT8E8M0), 12),
        (model(14, to=TensorProto.INT2), 13),
        (model(14, to=TensorProto.FLOAT4E2M1), 11),
    ],
)
def test_needed(proto: onnx.ModelProto, needed: int) -> None:
    before = proto.ir_version
    assert needed_ir_version(proto) == needed
    assert lower_ir_version(proto) == (before != needed)
    assert proto.ir_version == needed
    assert not lower_ir_version(proto)
