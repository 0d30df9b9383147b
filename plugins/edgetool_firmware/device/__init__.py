"""What update systems bring to a device beside the bundle: the programs that check it and take it into use.

The update system puts `bundle/`, `bundle.sig` and the programs into a new folder `PATH.d/incoming...`, which lies on
the same file system as `PATH`. A script that it runs afterwards calls `take_over`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from edgetool.bundle.read import Bundle
from edgetool.exporters import ExportContext
from edgetool_firmware.health import programs
from edgetool_firmware.payload import Item, items

BUNDLE = "bundle"

_PRELUDE = """\
#!/bin/sh
set -eu
LC_ALL=C
export LC_ALL
"""


@dataclass(frozen=True, slots=True)
class Carried(Item):
    """A file for the device, with its hash in hex."""

    sha256: str


def carried(bundle: Bundle, context: ExportContext) -> tuple[Carried, ...]:
    """The bundle as `bundle/`, its signature as `bundle.sig`, and the programs; sorted by name.

    The hashes of the engine's files are those of the manifest, which were compared when the bundle was read.
    """
    known = {f"{BUNDLE}/{record.path}": record.sha256 for record in bundle.manifest.files}
    extra = [Item(path.name, path, path.stat().st_size) for path in programs()]
    found = sorted((*items(bundle, context, folder=BUNDLE), *extra), key=lambda item: item.name.encode())
    return tuple(Carried(row.name, row.path, row.size, known.get(row.name) or sha256(row.path).hex()) for row in found)


def sha256(path: Path) -> bytes:
    """Of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def script(front: str, **settings: str) -> str:
    """A program for /bin/sh: settings as variables, `take_over`, and then what a system's own script does.

    Args:
        front: the system's own script.
        settings: variables; the values are plain words of the kind that `names.py` lets through.
    """
    variables = "".join(f"{name}={value}\n" for name, value in settings.items())
    return f"{_PRELUDE}{variables}\n{files(__name__).joinpath('take-over.sh').read_text()}\n{front}"
