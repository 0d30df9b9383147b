"""One real bundle for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.provenance.built import build, write_project


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `edgetool build` makes of a small int8 network; not to be changed."""
    return build(write_project(tmp_path_factory.mktemp("provenance") / "project"))
