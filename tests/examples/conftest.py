"""The examples, by folder."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.parent.name for path in (ROOT / "examples").glob("*/targets.toml"))


@pytest.fixture(params=NAMES)
def example(request: pytest.FixtureRequest) -> Path:
    """The folder of each example in turn."""
    return ROOT / "examples" / str(request.param)
