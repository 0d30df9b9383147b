"""Kits: bundles from which a device builds its engine itself, in the factory or when it first starts."""

from edgetool_tensorrt.kit.build import build

__all__ = ["build"]
