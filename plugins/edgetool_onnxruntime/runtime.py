"""The one place that imports onnxruntime: telemetry off, or a clear word that it is missing."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path
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


def load_format_tools() -> Any:
    """`onnxruntime.tools.ort_format_model`, which reads .ort files; makes `ort_flatbuffers_py` importable, too.

    Importing it in the usual way runs `onnxruntime.tools`, which imports torch wherever that is installed: seconds of
    time and hundreds of megabytes for nothing. So the package is entered without its `__init__`.
    """
    package = "onnxruntime.tools"
    if package in sys.modules:
        return importlib.import_module(f"{package}.ort_format_model")
    spec = importlib.machinery.ModuleSpec(package, None, is_package=True)
    spec.submodule_search_locations = [str(Path(load_runtime().__file__).parent / "tools")]
    sys.modules[package] = importlib.util.module_from_spec(spec)
    try:
        return importlib.import_module(f"{package}.ort_format_model")
    finally:
        del sys.modules[package]
