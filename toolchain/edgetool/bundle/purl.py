"""Package URLs: names of software that every tool for bills of materials understands."""

from __future__ import annotations

from urllib.parse import quote

_NOT_PYPI = frozenset({"python"})
"""Names in `manifest.tools` that are no distributions."""


def purl(name: str, version: str | None, *, kind: str | None = None) -> str:
    """The package URL (purl-spec 1.0) of a tool.

    Args:
        name: distribution name, or `python`.
        version: as its package says; None leaves it out.
        kind: `pypi` or `generic`; told from the name if None.
    """
    kind = kind or ("generic" if name in _NOT_PYPI else "pypi")
    if kind == "pypi":
        name = name.lower().replace("_", "-")
    text = f"pkg:{kind}/{quote(name, safe='')}"
    return f"{text}@{quote(version, safe='.-_~:')}" if version else text
