"""Imports what records name; apart from the search for plugins, which child processes do without."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, TypeVar

from edgetool.errors import UnavailableError
from edgetool.plugin.records import Info

Loaded = TypeVar("Loaded")


def load_class(info: Info, base: type[Loaded]) -> type[Loaded]:
    """Import the class that a record names. Raises `UnavailableError` when that fails or it is no `base`."""
    return load_object(info.loader, base, what=info.name)


def load_object(loader: str, base: type[Loaded], *, what: str) -> type[Loaded]:
    """Import `module:Class`. Raises `UnavailableError` when that fails or it is no `base`."""
    found = _imported(loader, what)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise UnavailableError(
            "plugin-broken", f"{loader} of {what!r} is not a {base.__name__}", hint="edgetool plugins"
        )
    return found


def load_function(info: Info) -> Callable[..., Any]:
    """Import the function that a record names. Raises `UnavailableError` when that fails or it cannot be called."""
    found: Callable[..., Any] = _imported(info.loader, info.name)
    if not callable(found):
        raise UnavailableError(
            "plugin-broken", f"{info.loader} of {info.name!r} is not a function", hint="edgetool plugins"
        )
    return found


def _imported(loader: str, what: str) -> Any:
    module_name, _, name = loader.partition(":")
    try:
        return getattr(importlib.import_module(module_name), name)
    except Exception as error:  # the plugin boundary: anything may come out of foreign code
        raise UnavailableError(
            "plugin-broken",
            f"cannot load {what!r} from {loader}: {type(error).__name__}: {error}",
            hint="edgetool plugins",
        ) from error
