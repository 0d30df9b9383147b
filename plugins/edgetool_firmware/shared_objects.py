"""Libraries in a bundle: what build systems would strip, and check for things that do not concern them."""

from __future__ import annotations

from edgetool.bundle.read import Bundle

_ELF = b"\x7fELF"


def shared_objects(bundle: Bundle) -> tuple[str, ...]:
    """Paths of the bundle's ELF files."""
    return tuple(record.path for record in bundle.manifest.files if _head(bundle, record.path) == _ELF)


def _head(bundle: Bundle, path: str) -> bytes:
    with (bundle.path / path).open("rb") as file:
        return file.read(len(_ELF))
