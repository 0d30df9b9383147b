"""What is installed here, found without importing it unless another provider than the CPU is asked for."""

from __future__ import annotations

import importlib.metadata
import importlib.util

from edgetool.backends.base import Availability
from edgetool.errors import UnavailableError
from edgetool_onnxruntime.options import OnnxRuntimeOptions
from edgetool_onnxruntime.runtime import load_runtime
from edgetool_onnxruntime.session import CPU

_DISTRIBUTIONS = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino", "onnxruntime-qnn")
"""Distributions that all bring the package `onnxruntime`."""

_BROUGHT_BY = {
    "CUDAExecutionProvider": "onnxruntime-gpu",
    "TensorrtExecutionProvider": "onnxruntime-gpu",
    "DmlExecutionProvider": "onnxruntime-directml",
    "OpenVINOExecutionProvider": "onnxruntime-openvino",
    "QNNExecutionProvider": "onnxruntime-qnn",
}


def installed_distribution() -> str:
    """Name of the installed distribution that brings onnxruntime; `onnxruntime` when there is none."""
    return next((name for name in _DISTRIBUTIONS if _version(name) is not None), "onnxruntime")


def availability(options: OnnxRuntimeOptions) -> Availability:
    """Whether this machine can build and run with these options."""
    if importlib.util.find_spec("onnxruntime") is None:
        return Availability(
            can_build=False,
            can_run=False,
            version=None,
            why_not="onnxruntime is not installed",
            fix="pip install 'edgetool[onnxruntime]'",
        )
    version = _version(installed_distribution())
    if options.providers == [CPU]:
        return Availability(can_build=True, can_run=True, version=version)
    try:
        missing = missing_providers(options)
    except UnavailableError as error:
        return Availability(can_build=False, can_run=False, version=version, why_not=error.message, fix=error.hint)
    if missing:
        return Availability(
            can_build=True,
            can_run=False,
            version=version,
            why_not=f"the installed {installed_distribution()} has no {', '.join(missing)}",
            fix=how_to_get(missing[0]),
        )
    return Availability(can_build=True, can_run=True, version=version)


def missing_providers(options: OnnxRuntimeOptions) -> list[str]:
    """Providers that the options name and the installed onnxruntime was built without."""
    available = load_runtime().get_available_providers()
    return [name for name in options.providers if name not in available]


def how_to_get(provider: str) -> str:
    """What brings a provider."""
    package = _BROUGHT_BY.get(provider)
    if package is None:
        return f"install an onnxruntime that was built with {provider}, in place of the present one"
    return f"pip uninstall {installed_distribution()} && pip install {package}"


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
