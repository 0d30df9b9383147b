"""The one place that imports onnxruntime: telemetry off, or a clear word that it is missing."""

from __future__ import annotations

import os
from typing import Any

from edgetool.errors import UnavailableError


def load_runtime() -> Any:
    """The `onnxruntime` module.

    Raises:
        UnavailableError: `onnxruntime-missing`, also when the installed one cannot be loaded.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read while the library loads, so it has to be set before
    try:
        import onnxruntime
    except ImportError as error:
        raise UnavailableError(
            "onnxruntime-missing",
            f"ONNX Runtime cannot be imported: {error}",
            hint="pip install 'edgetool[onnxruntime]'",
        ) from error
    return onnxruntime


def runtime_errors() -> tuple[type[Exception], ...]:
    """Every class of exception that onnxruntime raises; they share no base but Exception."""
    load_runtime()
    from onnxruntime.capi import onnxruntime_pybind11_state as native

    own = [kind for kind in vars(native).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return (*own, RuntimeError, ValueError)
