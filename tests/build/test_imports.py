"""What the processes of a build import: they may be many, so each takes only what it needs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

Cli = Callable[..., subprocess.CompletedProcess[str]]


def _imported(text: str) -> set[str]:
    """Top-level packages that Python's import profile names."""
    rows = [line.rpartition("|")[2] for line in text.splitlines() if line.startswith("import time:")]
    return {row.strip().partition(".")[0] for row in rows}


def test_int8_of_an_onnx_network_needs_no_torch_and_no_optimizer(project: Path, run_cli: Cli, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    env = {"EDGETOOL_CACHE_DIR": str(cache), "PYTHONPROFILEIMPORTTIME": "1"}
    done = run_cli("build", "--target", "int8", cwd=project, env=env)
    assert done.returncode == 0, done.stderr
    logs = [path.read_text() for path in cache.rglob("*.log")]
    steps, engine = sorted(
        (_imported(text) for text in logs), key=lambda names: "edgetool_passes" in names, reverse=True
    )
    assert "onnxruntime" in steps & engine
    assert not {"torch", "onnxscript", "onnx_ir", "sympy"} & (steps | engine)
    assert not {"numpy", "onnx", "onnxruntime", "torch"} & _imported(done.stderr)
