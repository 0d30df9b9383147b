"""Dynamic quantization: from nodes that quantize at run time to weights that OpenVINO does it for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgetool.qdq.editor import GraphEditor
from edgetool.qdq.index import GraphIndex, attribute

if TYPE_CHECKING:
    import onnx

_FLOAT = 1
"""TensorProto.FLOAT, without importing onnx for it."""


@dataclass(frozen=True, slots=True)
class IntegerProduct:
    """A float product that is spelled as DynamicQuantizeLinear, MatMulInteger, Cast and Mul.

    Attributes:
        data: name of the float tensor that is quantized at run time.
        weight: name of the stored int8 matrix [inputs, outputs].
        scale: name of the weight's scale, a scalar or one for each output.
        zero_point: name of the weight's zero point; None when it is zero.
        product: the MatMulInteger.
        last: the Mul that gives the float result.
    """

    data: str
    weight: str
    scale: str
    zero_point: str | None
    product: onnx.NodeProto
    last: onnx.NodeProto


def use_stored_weights(graph: onnx.GraphProto) -> int:
    """Turn each such product into a MatMul with a weight that is dequantized; how many there were.

    OpenVINO quantizes the activations of a product with int8 weights by itself, in groups and inside of the kernel. The
    nodes that spell it out it would compute one by one, in float: slower than the model that was never quantized.

    Args:
        graph: edited in place.
    """
    index = GraphIndex(graph)
    found = [product for node in graph.node if (product := _product(node, index))]
    editor = GraphEditor(graph)
    for product in found:
        inputs = [product.weight, product.scale, *([product.zero_point] if product.zero_point else [])]
        weight = editor.node("DequantizeLinear", inputs, f"{product.weight}_dequantized", axis=1)
        editor.redirect(product.last, 0, product.data)
        editor.redirect(product.last, 1, weight)
        product.last.op_type = "MatMul"
        product.last.name, product.product.name = product.product.name, product.last.name
    editor.commit()
    return len(found)


def _product(node: onnx.NodeProto, index: GraphIndex) -> IntegerProduct | None:
    if node.op_type != "MatMulInteger" or len(node.input) < 3 or not index.is_stored(node.input[1]):
        return None
    quantize = index.producers.get(node.input[0])
    if quantize is None or quantize.op_type != "DynamicQuantizeLinear" or node.input[2] != quantize.output[2]:
        return None
    cast = index.only_reader(node.output[0])
    if cast is None or cast.op_type != "Cast" or attribute(cast, "to", 0) != _FLOAT:
        return None
    last = index.only_reader(cast.output[0])
    scale = _weight_scale(last, cast.output[0], quantize.output[1], index)
    weight = index.constant(node.input[1])
    if last is None or scale is None or weight is None or weight.ndim != 2:
        return None
    zero_point = node.input[3] if len(node.input) > 3 else ""
    if not _fits(zero_point, scale, index):
        return None
    return IntegerProduct(quantize.input[0], node.input[1], scale, _unless_zero(zero_point, index), node, last)


def _weight_scale(last: onnx.NodeProto | None, product: str, data_scale: str, index: GraphIndex) -> str | None:
    """The constant that, times the data's scale, is what the product is multiplied by."""
    scales = index.producers.get(_other(last, product))
    name = _other(scales, data_scale)
    return name if index.constant(name) is not None else None


def _other(node: onnx.NodeProto | None, name: str) -> str:
    """The other factor of a Mul; empty when it is none, or does not read `name`."""
    if node is None or node.op_type != "Mul" or name not in node.input:
        return ""
    return str(node.input[1] if node.input[0] == name else node.input[0])


def _fits(zero_point: str, scale: str, index: GraphIndex) -> bool:
    """DequantizeLinear wants scale and zero point of one shape; a zero point of zero can be left out."""
    values, scales = index.constant(zero_point), index.constant(scale)
    if scales is None or scales.ndim > 1:
        return False
    if not zero_point:
        return True
    return values is not None and (not values.any() or values.shape == scales.shape)


def _unless_zero(zero_point: str, index: GraphIndex) -> str | None:
    values = index.constant(zero_point)
    return zero_point if values is not None and values.any() else None
