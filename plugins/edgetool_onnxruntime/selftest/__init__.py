"""The self-test's part that knows ONNX Runtime: C through its C API, and the settings of an engine."""

from __future__ import annotations

from collections.abc import Iterator

from edgetool.backends import DeviceSources
from edgetool.selftest import package_files
from edgetool_onnxruntime.options import OnnxRuntimeOptions, device_of


def device_sources(options: OnnxRuntimeOptions) -> DeviceSources:
    """For an engine of these options. It runs in as many threads as the device is told, whatever the build took."""
    return DeviceSources("onnxruntime", package_files("edgetool_onnxruntime", "selftest"), tuple(_settings(options)))


def _settings(options: OnnxRuntimeOptions) -> Iterator[tuple[str, str]]:
    settings = options.settings(threads=0)
    yield "graph_optimization", settings.level
    yield "execution_mode", "parallel" if settings.parallel else "sequential"
    yield "inter_op_threads", str(settings.inter_op_threads)
    for key, value in sorted(settings.config_entries().items()):
        yield "entry", f"{key}={value}"
    for name, chosen in settings.providers.items():
        yield "provider", device_of(name)
        for key, value in chosen.items():
            yield "provider_option", f"{key}={value}"
