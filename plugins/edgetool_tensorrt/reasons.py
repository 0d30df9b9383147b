"""Why a parser refuses a node, in words of our own: its own reason is often just "false"."""

from __future__ import annotations

from edgetool_tensorrt.wording import boiled_down, without_gpu_noise

_INTEGER_KERNELS = ("QLinear", "DynamicQuantize", "ConvInteger", "MatMulInteger")
_NO_TENSORS = ("Sequence", "Optional", "SplitToSequence", "ConcatFromSequence")


def reason_of(text: str, *, code: str, function: str, op_type: str) -> str:
    """One sentence on what the parser finds wrong with a node.

    Args:
        text: the parser's own description.
        code: name of its error code, `UNSUPPORTED_NODE`.
        function: the parser's function that gave up, `checkDet`.
        op_type: the node's operator; empty for the graph as a whole.
    """
    text = without_gpu_noise(text)
    if text == "false":
        return unknown_operator(op_type)
    if "shiftIsAllZeros" in text or "Non-zero zero point" in text:
        return "its zero point is not zero, and quantization has to be symmetric"
    if "input has type Int32 but must have type" in text:
        return "it dequantizes int32, most likely a bias: biases stay in float"
    if "Plugin not found" in text:
        return f"{op_type} is no operator of ONNX, and there is no plugin of that name"
    if "plugin creator" in text:
        return f"{op_type} needs a plugin that is not there"
    if "Failed to convert ONNX date type" in text:
        return "it has an element type that TensorRT does not know"
    if function == "importInput":
        return "an input has a size or an element type that TensorRT does not know"
    return boiled_down(text) or f"the parser gives no reason ({code.lower().replace('_', ' ')})"


def unknown_operator(op_type: str) -> str:
    """The reason for an operator that the parser lacks altogether."""
    if op_type.startswith(_INTEGER_KERNELS):
        return f"the parser has no {op_type}: quantize as Q/DQ pairs (`quantize-static`)"
    if op_type.startswith(_NO_TENSORS):
        return f"the parser has no {op_type}: it knows tensors only"
    return f"the parser has no {op_type}"
