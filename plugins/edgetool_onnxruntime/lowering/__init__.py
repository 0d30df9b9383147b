"""Rewrites a typed ONNX for ONNX Runtime's int8 kernels, and finds what runs in float all the same."""

from edgetool_onnxruntime.lowering.lower import lower
from edgetool_onnxruntime.lowering.unfused import unfused_in, unfused_nodes

__all__ = ["lower", "unfused_in", "unfused_nodes"]
