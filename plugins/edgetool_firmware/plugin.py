"""Registers the package formats."""

from __future__ import annotations

from edgetool.plugin import ExporterInfo, hookimpl


@hookimpl
def edgetool_exporters() -> list[ExporterInfo]:
    return [
        ExporterInfo("tar", "the bundle as one tar file", "edgetool_firmware.tar:Tar"),
    ]
