"""The self-test's part that knows TensorRT: C++ through its API, for what a builder or a kit's device made."""

from __future__ import annotations

from edgetool.artifact import Engine
from edgetool.backends import DeviceSources
from edgetool.selftest import package_files
from edgetool_tensorrt.options import TensorRtOptions


def device_sources(engine: Engine, options: TensorRtOptions) -> DeviceSources:
    """For an engine, or for the kit that a device builds it from and then names by --engine.

    Unverified on hardware: compiled against the headers of TensorRT 8.6, 10.3 and 11.1.
    """
    product = str(engine.facts.get("product", "tensorrt"))
    settings = () if options.dla_core is None else (("dla_core", str(options.dla_core)),)
    return DeviceSources(product, package_files("edgetool_tensorrt", "selftest"), settings)
