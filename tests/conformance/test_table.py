"""The page of support: every case is counted, and every deviation has its name on it."""

from __future__ import annotations

import threading
from pathlib import Path

from edgetool.conformance.journal import Journal
from edgetool.conformance.run import Conformance, Row
from edgetool.conformance.table import page

ROWS = (
    Row("test_abs", "Abs", "validated", "run", ""),
    Row("test_abs_2", "Abs", "refused", "supports", "no kernel for int4 | or <that>"),
    Row("test_relu", "Relu", "deviates", "run", "max error 1"),
    Row("test_selu", "Selu", "built", "build", "engines of this backend do not run here"),
)
FOUND = Conformance("ort", "1.2.3", "1.23.2", ROWS)


def test_every_cell_says_what_became_of_its_cases() -> None:
    text = page([FOUND.to_json()])
    assert "| ort | 1.2.3 | 1.23.2 | 4 | 1 | 1 | 1 | 1 |" in text
    assert "| Abs | 1/2; refused: no kernel for int4 \\| or &lt;that> |" in text
    assert "| Selu | 0/1, 1 built |" in text
    assert "## Deviations of ort 1.2.3\n\n- `test_relu`: deviates: max error 1" in text


def test_an_operator_that_one_backend_was_not_asked_about_has_an_empty_cell() -> None:
    other = Conformance("c", "1", "1.23.2", ROWS[:1])
    assert "| Relu | 0/1; deviates: max error 1 |  |" in page([FOUND.to_json(), other.to_json()])


def test_defects_are_those_that_nobody_may_ship() -> None:
    bad = [Row("x", "X", fate, "run", "") for fate in ("mismatch", "crash", "hang", "bug")]
    assert Conformance("c", "1", "1", (*ROWS, *bad)).defects == tuple(bad)


def test_a_journal_that_was_cut_short_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "journal.jsonl"
    journal = Journal(path)
    assert journal.read() == {}
    journal.add(ROWS[0].to_json())
    with path.open("a") as file:
        file.write('\n{"name": "test_cut", "oper')
    journal.add(ROWS[1].to_json())
    assert set(journal.read()) == {"test_abs", "test_abs_2"}
    assert Row(**journal.read()["test_abs_2"]) == ROWS[1]


def test_a_journal_is_written_by_several_threads(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    threads = [
        threading.Thread(target=lambda base=base: [journal.add({"name": f"{base}-{i}"}) for i in range(50)])
        for base in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(journal.read()) == 400
