"""The one place that imports openvino: telemetry off, or a clear word that it is missing."""

from __future__ import annotations

from typing import Any

from edgetool.errors import UnavailableError
from edgetool.plugin.unimportable import unimportable


def load_runtime() -> Any:
    """The `openvino` module, which would otherwise report its own import to its vendor.

    While it loads, its telemetry package cannot be imported, so that it takes the stub that it carries for that case.
    Its opt-out is a file in the user's home folder, which is not ours to write.

    Raises:
        UnavailableError: `openvino-missing`, also when the installed one cannot be loaded.
    """
    with unimportable("openvino_telemetry"):
        try:
            import openvino
        except ImportError as error:
            raise UnavailableError(
                "openvino-missing",
                f"OpenVINO cannot be imported: {error}",
                hint="pip install 'edgetool[openvino]'",
            ) from error
    return openvino
