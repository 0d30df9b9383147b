"""The shell scripts that run on the device; nothing else of edgetool is needed there."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def script(*names: str) -> str:
    """The text of some scripts in a row, after the prelude that all of them need."""
    return "\n".join((files(__name__) / f"{name}.sh").read_text(encoding="utf-8") for name in ("prelude", *names))
