"""Two bundles of the same build, to be changed by each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.provenance.built import build, copied, write_project


@pytest.fixture(scope="session")
def _built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(write_project(tmp_path_factory.mktemp("diff") / "project"))


@pytest.fixture
def old(_built: Path, tmp_path: Path) -> Path:
    """The bundle that is replaced."""
    return copied(_built, tmp_path / "old")


@pytest.fixture
def new(_built: Path, tmp_path: Path) -> Path:
    """The bundle that replaces it, so far equal."""
    return copied(_built, tmp_path / "new")
