"""The one place that imports TensorRT, or says clearly that it is missing."""

from __future__ import annotations

import importlib.metadata
from typing import Any

from edgetool.errors import UnavailableError

MODULE = "tensorrt"
OLDEST = (8, 6)
"""Release from which on engines are built here; older ones are served by their own trtexec, by ssh or by a kit."""
_DISTRIBUTIONS = ("tensorrt", "tensorrt-cu13", "tensorrt-cu12", "tensorrt-cu11")


def installed_version() -> str | None:
    """The version of the installed distribution, without loading it; None when no distribution says so."""
    for name in _DISTRIBUTIONS:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def load_toolkit() -> Any:
    """The `tensorrt` module.

    Raises:
        UnavailableError: `tensorrt-missing`, also when the installed one cannot be loaded.
    """
    try:
        import tensorrt
    except (ImportError, OSError) as error:  # OSError: its libraries are loaded by ctypes
        raise UnavailableError(
            "tensorrt-missing",
            f"TensorRT cannot be imported: {error}",
            hint="pip install 'edgetool[tensorrt]', or on a board the package python3-libnvinfer of its JetPack",
        ) from error
    return tensorrt
