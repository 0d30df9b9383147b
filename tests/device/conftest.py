"""The self-test for ONNX Runtime, compiled once, and bundles for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.device.selftest import compiled, linear, run, runtime_library, write_bundle_of


def tool(name: str) -> str:
    """As the fixture `require_tool`, for fixtures that live as long as the session."""
    found = shutil.which(name)
    if found is None and os.environ.get("CI"):
        pytest.fail(f"{name} is not installed; CI must install it")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that nobody changes."""
    return write_bundle_of(tmp_path_factory.mktemp("original") / "net.edgebundle", *linear())


@pytest.fixture(scope="session")
def program(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """edgetool-selftest for ONNX Runtime."""
    return compiled(tmp_path_factory.mktemp("program"), original / "src", compiler=tool("gcc"))


@pytest.fixture
def bundle(original: Path, tmp_path: Path) -> Path:
    """A bundle to damage."""
    return Path(shutil.copytree(original, tmp_path / "net.edgebundle"))


@pytest.fixture
def selftest(program: Path) -> Callable[..., CompletedProcess[str]]:
    """Runs it with the wheel's library, on one thread."""

    def call(*arguments: str | Path) -> CompletedProcess[str]:
        return run([program, "--library", runtime_library(), "--threads", "1"], *arguments)

    return call
