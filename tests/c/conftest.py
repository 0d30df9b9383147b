"""Fixtures shared by the tests of the C backend."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from edgetool.artifact import Engine, Model
from edgetool.context import BuildContext
from edgetool_c.backend import PlainC
from edgetool_c.options import COptions

CONTEXT = BuildContext(threads=1)


@pytest.fixture(autouse=True)
def _generator() -> None:
    if importlib.util.find_spec("emx_onnx_cgen") is None:
        pytest.skip("emx-onnx-cgen is not installed")


@pytest.fixture
def m4(require_tool: Callable[[str], str]) -> COptions:
    """The emulated Cortex-M4, which CI must have."""
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")
    return COptions()


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Engine]:
    """Builds a model into a new folder."""

    def run(model: Model, options: COptions) -> Engine:
        folder = tmp_path / f"engine-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        return PlainC(options).build(model, folder, CONTEXT)

    return run
