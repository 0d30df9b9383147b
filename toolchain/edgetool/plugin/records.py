"""Small frozen records that plugins return: names and loader strings first, classes later.

Listing plugins must import nothing heavy, so a record says where a class is (`loader`), not what it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import pluggy

hookimpl = pluggy.HookimplMarker("edgetool")
"""Marks a function of a plugin module as an implementation of one of `edgetool.plugin.hookspecs`."""


@dataclass(frozen=True, slots=True)
class Info:
    """Common to all records.

    Attributes:
        name: what targets.toml calls it.
        summary: one line for `edgetool plugins`.
        loader: `module:name` of what does the work, imported only when it is used.
        requires: import names that must be found for it to be usable, e.g. `("onnxruntime",)`.
        extra: the extra of `pip install 'edgetool[extra]'` that brings them, or None.
    """

    name: str
    summary: str
    loader: str
    requires: tuple[str, ...] = ()
    extra: str | None = None


@dataclass(frozen=True, slots=True)
class BackendInfo(Info):
    """An `edgetool.backends.Backend`; its name is what a target says in `backend`."""


@dataclass(frozen=True, slots=True)
class PassInfo(Info):
    """An `edgetool.passes.Pass`; its name is what a recipe says in `use`."""


@dataclass(frozen=True, slots=True)
class ImporterInfo(Info):
    """An `edgetool.importers.Importer`.

    Attributes:
        suffixes: file name endings it reads, e.g. `(".onnx",)`.
        factories: True when it reads `module:function` sources.
    """

    suffixes: tuple[str, ...] = ()
    factories: bool = False


@dataclass(frozen=True, slots=True)
class ExporterInfo(Info):
    """An `edgetool.exporters.Exporter`; its name is what `edgetool package --format` says."""


@dataclass(frozen=True, slots=True)
class FileInfo(Info):
    """A kind of file that `edgetool inspect` can describe; `loader` names a function, not a class.

    The function takes the path of a file and returns an `edgetool.description.Description`, or None when the first
    bytes of the file are those of something else. It must be quick and import nothing heavy before it knows.

    Attributes:
        suffixes: file name endings that such files have, e.g. `(".engine",)`.
    """

    suffixes: tuple[str, ...] = ()
