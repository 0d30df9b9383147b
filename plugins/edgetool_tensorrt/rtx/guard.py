"""What TensorRT-RTX would take without a word and should not: looked for before and after it parses a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgetool.errors import ModelError
from edgetool.signature import Signature

if TYPE_CHECKING:
    import onnx

_BINDINGS = {
    "FLOAT": "float32",
    "HALF": "float16",
    "BF16": "bfloat16",
    "INT8": "int8",
    "UINT8": "uint8",
    "INT32": "int32",
    "INT64": "int64",
    "BOOL": "bool",
    "FP8": "float8_e4m3fn",
    "INT4": "int4",
    "FP4": "float4_e2m1fn",
}
"""Its names of element types, and ours."""


def require_outputs(proto: onnx.ModelProto, *, where: str) -> None:
    """Refuse a model that computes nothing. Raises ModelError `refused-by-tensorrt-rtx`."""
    if not proto.graph.output:
        raise ModelError(
            "refused-by-tensorrt-rtx",
            "the model has no outputs",
            where=where,
            hint="export the model again with its outputs declared",
        )


def require_same_bindings(network: Any, signature: Signature, *, where: str) -> None:
    """Refuse an engine whose inputs and outputs would not be those of the model.

    TensorRT-RTX parses float64 and computes in float32 instead, inputs and outputs included.

    Raises:
        ModelError: `binding-changed`, naming every input and output concerned.
    """
    parsed = {
        tensor.name: _BINDINGS.get(tensor.dtype.name, tensor.dtype.name)
        for count, get in ((network.num_inputs, network.get_input), (network.num_outputs, network.get_output))
        for tensor in map(get, range(count))
    }
    wrong = [
        f"{spec.name!r} is {spec.dtype} and would become {parsed.get(spec.name, 'nothing')}"
        for spec in (*signature.inputs, *signature.outputs)
        if parsed.get(spec.name) != spec.dtype
    ]
    if wrong:
        raise ModelError(
            "binding-changed",
            "; ".join(wrong),
            where=where,
            hint="give the model a float32 interface: cast inside the network, or export it in float32",
        )


def require_no_shape_inputs(network: Any, *, where: str) -> None:
    """Refuse inputs whose values decide shapes: their values would need a range, and nothing declares one.

    Raises:
        ModelError: `refused-by-tensorrt-rtx`.
    """
    found = [tensor.name for tensor in map(network.get_input, range(network.num_inputs)) if tensor.is_shape_tensor]
    if found:
        raise ModelError(
            "refused-by-tensorrt-rtx",
            f"the values of {' and '.join(map(repr, found))} decide shapes",
            where=where,
            hint="fix these inputs with `specialize`, or let the shape of another input decide",
        )
