"""What a package carries: the bundle's files as they are, and the signature beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgetool.bundle.read import Bundle
from edgetool.bundle.verify import MANIFEST, MEASUREMENTS
from edgetool.exporters import ExportContext


@dataclass(frozen=True, slots=True)
class Item:
    """One file to carry.

    Attributes:
        name: where it goes, with slashes.
        path: where it is.
        size: bytes.
    """

    name: str
    path: Path
    size: int


def items(bundle: Bundle, context: ExportContext, *, folder: str | None = None) -> tuple[Item, ...]:
    """All files below `folder/`, and the signature as `folder.sig` where there is one; sorted by name.

    Args:
        bundle: whose files.
        context: knows the signature.
        folder: where the bundle's content goes; `NAME.edgebundle` if left out.
    """
    folder = folder or f"{context.name}.edgebundle"
    found = [_item(f"{folder}/{path}", bundle.path / path) for path in paths(bundle)]
    if context.signature is not None:
        found.append(_item(f"{folder}.sig", context.signature))
    return tuple(sorted(found, key=lambda item: item.name.encode()))


def paths(bundle: Bundle) -> Iterator[str]:
    """Of all files, relative to the bundle."""
    yield from (record.path for record in bundle.manifest.files)
    yield MANIFEST
    if (bundle.path / MEASUREMENTS).is_file():
        yield MEASUREMENTS


def _item(name: str, path: Path) -> Item:
    return Item(name, path, path.stat().st_size)
