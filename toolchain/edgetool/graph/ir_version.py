"""The IR version of a file, which runtimes look at before anything else.

Whoever saves with the newest onnx package stamps its newest number on the file, and every runtime of last month refuses
it, although nothing in it is new. The number is lowered to what the file needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgetool.graph.walk import graphs, tensors

if TYPE_CHECKING:
    import onnx

_SINCE = {
    "FLOAT4E2M1": 11, "FLOAT8E8M0": 12, "UINT2": 13, "INT2": 13, "FLOAT6E2M3": 14, "FLOAT6E3M2": 14,
}  # fmt: skip
"""Element types and the version that brought them (onnx.proto); up to 10 nothing was ever refused here."""

_OLDEST = 10
_MULTI_DEVICE = 11


def needed_ir_version(model: onnx.ModelProto) -> int:
    """The smallest IR version that holds everything in the model, for its operator sets; its own where that is less."""
    from onnx.helper import find_min_ir_version_for

    if model.ir_version <= _OLDEST:
        return int(model.ir_version)
    opsets = int(find_min_ir_version_for(list(model.opset_import), ignore_unknown=True))
    return min(int(model.ir_version), max(_OLDEST, opsets, *_features(model)))


def lower_ir_version(model: onnx.ModelProto) -> bool:
    """Write the number that is needed. Returns whether it was another."""
    needed = needed_ir_version(model)
    if needed == int(model.ir_version):
        return False
    model.ir_version = needed
    return True


def _features(model: onnx.ModelProto) -> Iterator[int]:
    import onnx

    since = {
        getattr(onnx.TensorProto, name): version for name, version in _SINCE.items() if hasattr(onnx.TensorProto, name)
    }
    yield _OLDEST
    for tensor in tensors(model):
        yield since.get(tensor.tensor.data_type, 0)
    if getattr(model, "configuration", None):
        yield _MULTI_DEVICE
    for graph in graphs(model.graph):
        for value in (*graph.input, *graph.output, *graph.value_info):
            yield since.get(value.type.tensor_type.elem_type, 0)
        for node in graph.node:
            # `to` of Cast, `dtype` of random operators, `output_dtype` of QuantizeLinear: element types as numbers.
            yield from (
                since.get(attribute.i, 0) for attribute in node.attribute if attribute.name.endswith(("to", "dtype"))
            )
