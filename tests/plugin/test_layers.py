"""The packages of the core know each other in one direction, and so do its modules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "toolchain"
MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in (SOURCE / "edgetool").rglob("*.py")
}


def _imports(path: Path) -> Iterator[str]:
    """Modules of the core that a module imports, also inside of functions and for annotations only."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (row.name for row in node.names if row.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            inner = (f"{node.module}.{row.name}" for row in node.names)
            yield from (name if name in MODULES else node.module for name in inner)


@pytest.mark.parametrize("depth", [2, None], ids=["packages", "modules"])
def test_nothing_is_imported_in_a_circle(depth: int | None) -> None:
    """At depth 2 a part is a package, or a module that lies directly in `edgetool`."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for module, path in MODULES.items():
        part = ".".join(module.split(".")[:depth])
        parts = {".".join(name.split(".")[:depth]) for name in _imports(path)}
        sorter.add(part, *(parts - {part, "edgetool"}))
    try:
        sorter.prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))
