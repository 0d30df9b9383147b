"""Every error code that the code raises has a page, and every page explains a code that exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from edgetool.errors import error_classes
from edgetool.explain import explanations

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "toolchain").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")])
OTHERS = sorted(path for ending in ("sh", "toml") for path in (ROOT / "plugins").rglob(f"*.{ending}"))
"""Programs for devices, and tables of what foreign programs say, speak in the same codes."""


def kebab_strings(path: Path) -> Iterator[str]:
    """Literals that look like a code, wherever they stand: codes also reach errors through helper functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and "-" in node.value
            and " " not in node.value
        ):
            yield node.value


def raised(path: Path) -> Iterator[tuple[str, str]]:
    """Error class and literal code of each error that is made."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if (name in error_classes() or name == "Mistake") and isinstance(node.args[0].value, str):
                yield name, node.args[0].value


def test_every_code_has_a_page() -> None:
    codes = {(code, str(path.relative_to(ROOT))) for path in SOURCES for _, code in raised(path)}
    missing = sorted(pair for pair in codes if pair[0] not in explanations())
    assert not missing, "write explanations/CODE.md beside the package"


def test_every_page_explains_a_code_that_exists() -> None:
    known = {text for path in SOURCES for text in kebab_strings(path)}
    for path in OTHERS:
        known |= set(re.findall(r"[a-z]\w*(?:-\w+)+", path.read_text(encoding="utf-8")))
    ours = {code for code, page in explanations().items() if page.package.startswith("edgetool")}
    put_together = {"unknown-recipe", "unknown-importer"}  # from the name of a table or of a kind
    assert ours - known <= put_together


def test_a_page_names_the_exit_code_of_its_error() -> None:
    kinds = error_classes()
    wrong = {
        (code, page.exit_code, kinds[name].exit_code)
        for path in SOURCES
        for name, code in raised(path)
        if name in kinds and (page := explanations().get(code)) and page.exit_code != kinds[name].exit_code
    }
    assert not wrong, "a page must say the exit code that the error ends with"
