"""Writes the reference pages that come from the code: `python docs/generate.py`. A test fails when one is stale.

`--check` writes nothing, names the stale pages and exits 1.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from reference_pages import backends, commands, errors, events, hooks, jetson, package_formats, passes, targets_toml

REFERENCE = Path(__file__).parent / "reference"

PAGES: Mapping[str, Callable[[], str]] = {
    "backends.md": backends.page,
    "commands.md": commands.page,
    "errors.md": errors.page,
    "events.md": events.page,
    "hooks.md": hooks.page,
    "jetson.md": jetson.page,
    "package-formats.md": package_formats.page,
    "passes.md": passes.page,
    "targets-toml.md": targets_toml.page,
}


def main(arguments: list[str]) -> int:
    """Write what is stale, or name it. Returns the exit code."""
    pages = {name: page().rstrip() + "\n" for name, page in PAGES.items()}
    stale = [name for name, text in pages.items() if _current(name) != text]
    if "--check" in arguments:
        for name in stale:
            print(f"docs/reference/{name} is stale: run python docs/generate.py", file=sys.stderr)
        return 1 if stale else 0
    REFERENCE.mkdir(exist_ok=True)
    for name in stale:
        (REFERENCE / name).write_text(pages[name], encoding="utf-8")
        print(f"wrote docs/reference/{name}")
    return 0


def _current(name: str) -> str | None:
    path = REFERENCE / name
    return path.read_text(encoding="utf-8") if path.is_file() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
