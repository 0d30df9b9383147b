"""What an exporter's author needs: the base class and what it is given."""

from edgetool.exporters.base import AnyExporter, ExportContext, Exporter, ExporterOptions

__all__ = ["AnyExporter", "ExportContext", "Exporter", "ExporterOptions"]
