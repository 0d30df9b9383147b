"""One project with its bundle, built once and copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.provenance.built import build, write_project


@pytest.fixture(scope="session")
def _original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_project(tmp_path_factory.mktemp("reproduce") / "project")
    build(folder, "--update-lock")
    return folder


@pytest.fixture
def project(_original: Path, tmp_path: Path) -> Path:
    """A locked project with `dist/tiny-1.0.0-ort.edgebundle`, the test's own."""
    return Path(shutil.copytree(_original, tmp_path / "project"))
