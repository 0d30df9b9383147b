"""The one place that imports nncf: no telemetry, no progress bars on stdout, and a clear word when it is missing."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edgetool.errors import UnavailableError
from edgetool.plugin.unimportable import unimportable


def load_nncf() -> Any:
    """The `nncf` module.

    It imports OpenVINO, whose telemetry forks from threads: besides what it tells its vendor, that ends threads of
    numpy's products in the middle of one, which then waits for ever.

    Raises:
        UnavailableError: `nncf-missing`, also when the installed one cannot be loaded.
    """
    # Read while the modules load, so they have to be set before.
    os.environ["NNCF_CI"] = "1"
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    with unimportable("openvino_telemetry"):
        try:
            import nncf
        except ImportError as error:
            raise UnavailableError(
                "nncf-missing", f"NNCF cannot be imported: {error}", hint="pip install 'edgetool[nncf]'"
            ) from error
    return nncf


@contextmanager
def quiet(nncf: Any) -> Iterator[None]:
    """Swallow progress bars and remarks; warnings still reach Python's logging."""
    nncf.set_log_level(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()):
        yield
