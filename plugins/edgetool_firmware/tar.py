"""`tar`: the bundle and its signature as one USTAR file; not compressed, for engines hardly shrink."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from edgetool.artifact import Facts
from edgetool.bundle.read import Bundle
from edgetool.exporters import ExportContext, Exporter, ExporterOptions
from edgetool_firmware.payload import items
from edgetool_firmware.ustar import Ustar


class TarOptions(ExporterOptions):
    """Nothing to choose."""


class Tar(Exporter[TarOptions]):
    """One file; `tar -xf` restores the bundle."""

    Options: ClassVar[type[TarOptions]] = TarOptions
    suffix = ".tar"

    def export(self, bundle: Bundle, destination: Path, context: ExportContext) -> Facts:
        found = items(bundle, context)
        with destination.open("xb") as file, Ustar(file, created=context.created) as archive:
            for item in found:
                archive.add_file(item.name, item.path)
        return {"files": len(found)}
