"""Small frozen records that plugins return: names and loader strings first, classes later.

Listing plugins must import nothing heavy, so a record says where a class is (`loader`), not what it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import pluggy

hookimpl = pluggy.HookimplMarker("edgetool")
"""Marks a function of a plugin module as an implementation of one of `edgetool.plugin.hookspecs`."""


@dataclass(frozen=True, slots=True)
class BackendInfo:
    """Describes a backend.

    Attributes:
        name: what targets.toml says in `backend`.
        summary: one line for `edgetool plugins`.
        loader: `module:Class` of an `edgetool.backends.Backend`.
        requires: import names that must be found for it to be usable, e.g. `("onnxruntime",)`.
        extra: the extra of `pip install 'edgetool[extra]'` that brings them, or None.
    """

    name: str
    summary: str
    loader: str
    requires: tuple[str, ...] = ()
    extra: str | None = None


@dataclass(frozen=True, slots=True)
class PassInfo:
    """Describes a pass; members as in `BackendInfo`, `name` is what a recipe says in `use`."""

    name: str
    summary: str
    loader: str
    requires: tuple[str, ...] = ()
    extra: str | None = None


@dataclass(frozen=True, slots=True)
class ImporterInfo:
    """Describes an importer; members as in `BackendInfo`.

    Attributes:
        suffixes: file name endings it reads, e.g. `(".onnx",)`.
        factories: True when it reads `module:function` sources.
        magic: leading bytes that mark its files whatever their name; the longest match wins over the suffix.
    """

    name: str
    summary: str
    loader: str
    suffixes: tuple[str, ...] = ()
    factories: bool = False
    magic: tuple[bytes, ...] = ()
    requires: tuple[str, ...] = ()
    extra: str | None = None
