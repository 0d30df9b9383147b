"""Packages that must not load: some report to their vendor as soon as others import them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_importing = threading.Lock()


@contextmanager
def unimportable(name: str) -> Iterator[None]:
    """While this holds, `import name` fails as if the package were not installed; unless it was loaded before."""
    with _importing:
        hidden = name not in sys.modules
        if hidden:
            sys.modules[name] = None  # type: ignore[assignment] # how Python spells "not importable"
        try:
            yield
        finally:
            if hidden:
                sys.modules.pop(name, None)
