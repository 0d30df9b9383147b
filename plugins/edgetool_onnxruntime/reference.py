"""The reference: any ONNX file, as it is, on ONNX Runtime's CPU kernels. Engines are compared with it."""

from __future__ import annotations

from pathlib import Path

from edgetool.backends.base import Runner
from edgetool.errors import ModelError
from edgetool_onnxruntime.runner import SessionRunner
from edgetool_onnxruntime.session import SessionSettings, open_session, session_signature


def open_onnx(path: Path, threads: int) -> Runner:
    """Open an ONNX file for the reference and for calibration; extra outputs are served like all others.

    Args:
        path: the .onnx file, its external data beside it.
        threads: threads inside one operator.

    Raises:
        ModelError: the file is missing, or ONNX Runtime refuses it; names the operator and the node.
        UnavailableError: onnxruntime is not installed.
    """
    if not path.is_file():
        raise ModelError(
            "model-not-found", "there is no such file", where=str(path), hint="check the path of the model"
        )
    session = open_session(path, SessionSettings(threads=threads, spinning=False))
    return SessionRunner(session, session_signature(session, path), path=path)
