"""What can be said of a model for TensorRT without building: refusals and warnings as data, each with its fix."""

from edgetool_tensorrt.check.judge import verdict

__all__ = ["verdict"]
