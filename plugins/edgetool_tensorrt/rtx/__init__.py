"""TensorRT-RTX: engines for GeForce and RTX cards, built in this process and without any GPU."""

from edgetool_tensorrt.rtx.builder import build
from edgetool_tensorrt.rtx.probe import availability

__all__ = ["availability", "build"]
