"""The newest ONNX opset that a TensorRT release reads. Its parser does not enforce it, so edgetool does."""

from __future__ import annotations

from edgetool_tensorrt.knowledge.tables import read_table
from edgetool_tensorrt.version import Version


def opsets() -> tuple[tuple[Version, int], ...]:
    """Each newest opset with the first release that reads it, oldest first."""
    return tuple((Version.parse(first), opset) for first, opset in read_table("opsets").items())


def max_opset(version: Version) -> int | None:
    """Newest opset that a release is documented to read; None for releases before the oldest that is known."""
    return max((opset for first, opset in opsets() if first <= version), default=None)
