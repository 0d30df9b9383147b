"""The bundle as a source archive, as build systems fetch, check and unpack it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import StringConstraints

from edgetool.bundle.read import Bundle
from edgetool.exporters import ExportContext
from edgetool_firmware.names import safe_name
from edgetool_firmware.payload import items
from edgetool_firmware.ustar import Ustar

Url: TypeAlias = Annotated[str, StringConstraints(pattern=r"^https?://[A-Za-z0-9._~:/+-]+$")]
"""Type of an option that is an address, fit to stand in recipes as it is."""


@dataclass(frozen=True, slots=True)
class SourceArchive:
    """A tar file with the bundle's content in one folder, and the signature beside that folder.

    Attributes:
        name: of the file.
        folder: in the archive.
        sha256: of the file, hex.
    """

    name: str
    folder: str
    sha256: str


def write_source_archive(bundle: Bundle, folder: Path, context: ExportContext) -> SourceArchive:
    """Write `NAME-VERSION-TARGET.tar` into a folder, which is made if needed. Raises ModelError `name-unsafe`."""
    name = safe_name(context.name, what="the bundle's folder")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.tar"
    with path.open("xb") as file, Ustar(file, created=context.created) as archive:
        for item in items(bundle, context, folder=name):
            archive.add_file(item.name, item.path)
    with path.open("rb") as written:
        return SourceArchive(path.name, name, hashlib.file_digest(written, "sha256").hexdigest())
