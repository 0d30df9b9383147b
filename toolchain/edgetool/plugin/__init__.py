"""What a plugin author needs: the hook marker and the records that hooks return."""

from edgetool.plugin.records import BackendInfo, ExporterInfo, FileInfo, ImporterInfo, PassInfo, hookimpl

__all__ = ["BackendInfo", "ExporterInfo", "FileInfo", "ImporterInfo", "PassInfo", "hookimpl"]
