"""Writes docs/reference/conformance.md from what `edgetool conformance --output` found: `make conformance` calls it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from edgetool.conformance.table import page

PAGE = Path(__file__).parent / "reference" / "conformance.md"


def main(files: list[str]) -> None:
    results = [json.loads(Path(file).read_text(encoding="utf-8")) for file in files]
    PAGE.write_text(page(results), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(Path.cwd()) if PAGE.is_relative_to(Path.cwd()) else PAGE}")


if __name__ == "__main__":
    main(sys.argv[1:])
