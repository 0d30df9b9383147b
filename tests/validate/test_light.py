"""Planning and reporting import these packages: they must not bring numpy or a runtime along."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

HEAVY = {"numpy", "PIL", "onnx", "onnxruntime", "openvino", "torch"}


@pytest.mark.parametrize("package", ["validate", "bundle", "report"])
def test_no_module_imports_anything_heavy(package: str) -> None:
    parent = __import__(f"edgetool.{package}", fromlist=["__path__"])
    modules = [f"edgetool.{package}.{found.name}" for found in pkgutil.iter_modules(parent.__path__)]
    code = f"import sys, {', '.join(modules)}; print(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert modules
