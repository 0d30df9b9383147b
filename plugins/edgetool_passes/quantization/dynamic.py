"""Rewrites weighted nodes to integer products whose activations are quantized anew on every run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgetool.qdq.editor import GraphEditor
from edgetool.qdq.index import GraphIndex, attribute
from edgetool_passes.quantization.placement import Placement, Site
from edgetool_passes.quantization.weights import Int8Weight, quantize_weight, store_weight

if TYPE_CHECKING:
    import onnx


def quantize_products(graph: onnx.GraphProto, placement: Placement, *, bits: int, per_channel: bool) -> None:
    """Replace every MatMul and Gemm site, and store the tables of Gather sites in int8.

    `x W` becomes `(DynamicQuantizeLinear(x) · W_int8) * (scale of x * scale of W)`: in ONNX the nodes
    DynamicQuantizeLinear, MatMulInteger, Cast and Mul, which runtimes with a kernel for it take as one.
    """
    index = GraphIndex(graph)
    editor = GraphEditor(graph)
    dynamic: dict[str, tuple[str, str, str]] = {}
    stored: dict[tuple[str, int], str] = {}
    for site in placement.sites:
        weight = quantize_weight(index.values(site.weight_name), axis=site.axis, bits=bits, per_channel=per_channel)
        if site.activation is None:
            key = (site.weight_name, site.axis)
            if key not in stored:
                stored[key] = store_weight(editor, weight, site.weight_name)
            editor.redirect(site.node, site.weight, stored[key])
        else:
            activation = site.node.input[site.activation]
            if activation not in dynamic:
                dynamic[activation] = _quantized_at_run_time(editor, activation)
            _replace(editor, site, weight, dynamic[activation])
    editor.commit()


def _quantized_at_run_time(editor: GraphEditor, tensor: str) -> tuple[str, str, str]:
    """Names of the uint8 tensor, its scale and its zero point."""
    wishes = (f"{tensor}_quantized", f"{tensor}_scale", f"{tensor}_zero_point")
    quantized, scale, zero_point = editor.nodes("DynamicQuantizeLinear", (tensor,), wishes)
    return quantized, scale, zero_point


def _replace(editor: GraphEditor, site: Site, weight: Int8Weight, activation: tuple[str, str, str]) -> None:
    import numpy as np
    import onnx

    node, name = site.node, site.weight_name
    integers = weight.integers.T.copy() if attribute(node, "transB", 0) else weight.integers
    stored = editor.constant(integers, f"{name}_int8")
    zero_point = editor.constant(np.zeros(weight.scale.shape, np.int8), f"{name}_zero_point")
    weight_scale = editor.constant(weight.scale, f"{name}_scale")
    result, bias = node.output[0], node.input[2] if len(node.input) > 2 else ""
    raw = editor.retire(node)
    product = editor.node("MatMulInteger", (activation[0], stored, activation[2], zero_point), f"{raw}_int32")
    floats = editor.node("Cast", (product,), f"{raw}_float", to=onnx.TensorProto.FLOAT)
    scale = editor.node("Mul", (activation[1], weight_scale), f"{raw}_scale")
    if bias:
        scaled = editor.node("Mul", (floats, scale), f"{raw}_scaled")
        editor.node_named("Add", (scaled, bias), result)
    else:
        editor.node_named("Mul", (floats, scale), result)
