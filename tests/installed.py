"""A plugin that is installed as pip would have done it: a module, and metadata that name it."""

from __future__ import annotations

from pathlib import Path


def install_plugin(folder: Path, name: str, source: str) -> dict[str, str]:
    """Put the module `{name}_plugin` with an entry point `name` into a folder; the environment in which it is found."""
    module = f"{name}_plugin"
    found = announce_plugin(folder, name, module)
    (folder / f"{module}.py").write_text(source)
    return found


def announce_plugin(folder: Path, name: str, module: str) -> dict[str, str]:
    """The metadata alone: whether there is such a module, and what it is, is the caller's affair."""
    info = folder / f"{name}_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[edgetool]\n{name} = {module}\n")
    return {"PYTHONPATH": str(folder)}
