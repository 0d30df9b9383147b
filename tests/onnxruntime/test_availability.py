"""What `probe` says, without importing the runtime unless it has to."""

from __future__ import annotations

import importlib.metadata
import importlib.util

import pytest

from edgetool.testing import HEAVY, imported_by
from edgetool_onnxruntime.backend import OnnxRuntime
from edgetool_onnxruntime.options import OnnxRuntimeOptions


def test_here() -> None:
    found = OnnxRuntime(OnnxRuntimeOptions()).probe()
    assert (found.can_build, found.can_run) == (True, True)
    assert found.version == importlib.metadata.version("onnxruntime")


def test_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found = OnnxRuntime(OnnxRuntimeOptions()).probe()
    assert (found.can_build, found.can_run) == (False, False)
    assert found.fix == "pip install 'edgetool[onnxruntime]'"


def test_provider_that_is_not_here_can_be_built_for_but_not_run() -> None:
    found = OnnxRuntime(OnnxRuntimeOptions(providers=["CUDAExecutionProvider"])).probe()
    assert (found.can_build, found.can_run) == (True, False)
    assert "CUDAExecutionProvider" in str(found.why_not)
    assert "onnxruntime-gpu" in str(found.fix)


def test_provider_that_is_only_known_by_name_is_not_here() -> None:
    """`get_all_providers` lists many that the wheel was built without."""
    found = OnnxRuntime(OnnxRuntimeOptions(providers=["XnnpackExecutionProvider"])).probe()
    assert not found.can_run


def test_backend_is_planned_without_the_runtime() -> None:
    code = "from edgetool_onnxruntime.backend import OnnxRuntime as B; B(B.Options()).probe(); B.tools()"
    assert not imported_by(code) & HEAVY
