"""Commands that only look and list import no framework: what is not imported cannot be slow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("numpy", "onnx", "onnx_ir", "onnxruntime", "onnxscript", "openvino", "PIL", "torch", "nncf")
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "targets --help",
        "plugins",
        "explain",
        "explain unknown-key",
        "targets list",
        "targets show jetson --origin",
        "targets boards",
        "targets validate",
        "targets schema",
        "init --file {folder}/targets.toml",
    ],
)
def test_imports(tmp_path: Path, command: str) -> None:
    arguments = command.format(folder=tmp_path).split()
    code = (
        "import sys; from edgetool.cli.entry import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        f"print(*sorted({set(HEAVY)!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1].strip() == ""
