"""What a piece of code imports, seen from a fresh interpreter."""

from __future__ import annotations

import os
import subprocess
import sys

HEAVY = frozenset(
    {
        "numpy",
        "onnx",
        "onnx_ir",
        "onnxscript",
        "onnxruntime",
        "openvino",
        "nncf",
        "torch",
        "tensorrt",
        "tensorflow",
        "transformers",
        "PIL",
        "scipy",
    }
)
"""Top-level modules that planning, `--help` and `edgetool plugins` must not import."""


def imported_by(code: str) -> frozenset[str]:
    """Top-level modules that are loaded once `code` has run.

    Args:
        code: Python statements; run by this interpreter, with this process's `sys.path`.

    Raises:
        AssertionError: the code failed; the message is what it printed.
    """
    program = f"{code}\nimport sys; print('\\0'.join(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False, timeout=120
    )
    if done.returncode:
        raise AssertionError(f"this failed in a fresh interpreter:\n{code}\n{done.stderr}")
    return frozenset(done.stdout.strip().splitlines()[-1].split("\0"))
