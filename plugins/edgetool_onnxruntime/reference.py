"""The reference: any ONNX file, as it is, on ONNX Runtime's CPU kernels. Engines are compared with it."""

from __future__ import annotations

from pathlib import Path

from edgetool.graph.files import require_onnx
from edgetool.runner import Runner
from edgetool_onnxruntime.runner import SessionRunner
from edgetool_onnxruntime.session import SessionSettings, open_session, session_signature

_WRONG_OPTIMIZERS = ("WeightBiasQuantization",)
"""It quantizes biases with the product of two scales, which is zero when they are float16 (ONNX Runtime 1.31)."""


def open_onnx(path: Path, threads: int) -> Runner:
    """Open an ONNX file for the reference and for calibration; extra outputs are served like all others.

    Args:
        path: the .onnx file, its external data beside it.
        threads: threads inside one operator.

    Raises:
        ConfigError: `model-not-found`.
        ModelError: the file is something else, or ONNX Runtime refuses it; names the operator and the node.
        UnavailableError: onnxruntime is not installed.
    """
    require_onnx(path)
    session = open_session(path, SessionSettings(threads=threads, without=_WRONG_OPTIMIZERS))
    return SessionRunner(session, session_signature(session, path), path=path)
