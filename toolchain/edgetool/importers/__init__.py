"""Base types of importers: `Importer`, the `Source` it reads and what it returns."""

from edgetool.context import ImportContext
from edgetool.importers.base import AnyImporter, Importer, ImporterOptions, ImportRequest, ImportResult, Source

__all__ = ["AnyImporter", "ImportContext", "ImportRequest", "ImportResult", "Importer", "ImporterOptions", "Source"]
