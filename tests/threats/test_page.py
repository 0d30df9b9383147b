"""docs/explanation/threat-model.md: every attack names a test, and every test that is named exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "threat-model.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def rows() -> list[str]:
    """The rows of tables whose last column is `tests`."""
    found, in_table = [], False
    for line in PAGE.read_text().splitlines():
        if line.endswith("| tests |"):
            in_table = True
        elif not line.startswith("|"):
            in_table = False
        elif in_table and not line.startswith("|---"):
            found.append(line)
    return found


def test_there_are_rows() -> None:
    assert len(rows()) > 30


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.split("|")[1].strip()[:50])
def test_the_tests_of_a_row_exist(row: str) -> None:
    named = NAMED.findall(row.rstrip("|").rpartition("|")[2])
    assert named, "this row names no test"
    for file, name in named:
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.M), f"{file} has no {name}"


def test_every_test_of_a_threat_is_on_the_page() -> None:
    on_page = set(NAMED.findall(PAGE.read_text()))
    here = {
        (str(path.relative_to(ROOT)), name)
        for path in Path(__file__).parent.glob("test_*.py")
        if path != Path(__file__)
        for name in re.findall(r"^def (test_\w+)\(", path.read_text(), re.M)
    }
    assert not here - on_page
