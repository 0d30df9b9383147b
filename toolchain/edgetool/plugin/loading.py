"""Imports the classes that records name; apart from the search for plugins, which child processes do without."""

from __future__ import annotations

import importlib
from typing import TypeVar

from edgetool.errors import UnavailableError
from edgetool.plugin.records import Info

Loaded = TypeVar("Loaded")


def load_class(info: Info, base: type[Loaded]) -> type[Loaded]:
    """Import the class that a record names. Raises `UnavailableError` when that fails or it is no `base`."""
    return load_object(info.loader, base, what=info.name)


def load_object(loader: str, base: type[Loaded], *, what: str) -> type[Loaded]:
    """Import `module:Class`. Raises `UnavailableError` when that fails or it is no `base`."""
    module_name, _, class_name = loader.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except Exception as error:  # the plugin boundary: anything may come out of foreign code
        raise UnavailableError(
            "plugin-broken",
            f"cannot load {what!r} from {loader}: {type(error).__name__}: {error}",
            hint="edgetool plugins",
        ) from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise UnavailableError(
            "plugin-broken", f"{loader} of {what!r} is not a {base.__name__}", hint="edgetool plugins"
        )
    return found
