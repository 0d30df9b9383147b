"""The reference runtime: the one plugin that the core names, by its loader."""

from __future__ import annotations

import importlib
import importlib.metadata
from pathlib import Path

from edgetool.errors import UnavailableError
from edgetool.runner import Runner

_REFERENCE = "edgetool_onnxruntime.reference"
_RUNTIME = "onnxruntime"


def open_reference(path: Path, threads: int) -> Runner:
    """Open an ONNX file in the reference runtime. Raises `UnavailableError` where it is not installed."""
    try:
        module = importlib.import_module(_REFERENCE)
        runner: Runner = module.open_onnx(path, threads)
    except ImportError as error:
        raise UnavailableError(
            "reference-missing",
            f"the reference runtime is not installed: {error}",
            hint="pip install 'edgetool[onnxruntime]'",
        ) from error
    return runner


def reference_name() -> str | None:
    """The reference runtime with its version; None where it is not installed."""
    try:
        return f"{_RUNTIME} {importlib.metadata.version(_RUNTIME)}"
    except importlib.metadata.PackageNotFoundError:
        return None
