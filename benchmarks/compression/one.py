"""Measures one row in this process: `python -m benchmarks.compression.one KEY RESULT.json`."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from benchmarks.compression.rows import ROWS


def main(key: str, result: Path) -> None:
    (row,) = (row for row in ROWS if row.key == key)
    with tempfile.TemporaryDirectory(prefix=f"edgetool-{key}-") as folder:
        findings = row.measure(Path(folder))
    result.write_text(json.dumps([finding.to_json() for finding in findings]))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
