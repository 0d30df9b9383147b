"""A plugin that is installed as pip would have done it: a module, and metadata that name it."""

from __future__ import annotations

from pathlib import Path


def install_plugin(folder: Path, name: str, source: str) -> dict[str, str]:
    """Put the module `{name}_plugin` with an entry point `name` into a folder; the environment in which it is found."""
    module = f"{name}_plugin"
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / f"{module}.py").write_text(source)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[edgetool]\n{name} = {module}\n")
    return {"PYTHONPATH": str(folder)}
