"""The one place that imports TensorRT-RTX, or says clearly that it is missing."""

from __future__ import annotations

import importlib.metadata
from typing import Any

from edgetool.errors import UnavailableError

DISTRIBUTION = "tensorrt-rtx"
MODULE = "tensorrt_rtx"
INSTALL = "pip install 'edgetool[tensorrt-rtx]'"


def installed_version() -> str | None:
    """The version of the installed distribution, without loading it; None when there is none."""
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return None


def load_toolkit() -> Any:
    """The `tensorrt_rtx` module.

    Raises:
        UnavailableError: `tensorrt-rtx-missing`, also when the installed one cannot be loaded.
    """
    try:
        import tensorrt_rtx
    except (ImportError, OSError) as error:  # OSError: its libraries are loaded by ctypes
        raise UnavailableError(
            "tensorrt-rtx-missing",
            f"TensorRT-RTX cannot be imported: {error}",
            hint=f"{INSTALL} (its licence is NVIDIA's own)",
        ) from error
    return tensorrt_rtx
