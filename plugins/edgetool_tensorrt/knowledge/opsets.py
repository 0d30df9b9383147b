"""The newest ONNX opset that a TensorRT release reads. Its parser does not enforce it, so edgetool does."""

from __future__ import annotations

from edgetool_tensorrt.knowledge.tables import read_table
from edgetool_tensorrt.version import Version


def max_opset(version: Version) -> int | None:
    """Newest opset that a release is documented to read; None for releases before the oldest that is known."""
    known = [(Version.parse(first), opset) for first, opset in read_table("opsets").items()]
    return max((opset for first, opset in known if first <= version), default=None)
