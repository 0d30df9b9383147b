"""Tensor names as parts of a command line: they come from a model that anybody may have made."""

from __future__ import annotations

import re
from collections.abc import Iterable

from edgetool.errors import ModelError

_SAFE = re.compile(r"[A-Za-z0-9_./:-]+")


def safe_name(name: str) -> bool:
    """Whether a name can stand in an argument of trtexec, and in a shell's command line, for itself and nothing else.

    trtexec splits its lists at commas and its pairs at the last colon, and takes apostrophes for quotes.
    """
    return _SAFE.fullmatch(name) is not None


def require_safe(names: Iterable[str], *, where: str) -> None:
    """Refuse all unsafe names at once.

    Args:
        names: of inputs and outputs.
        where: the model's file, for the message.

    Raises:
        ModelError: `unsafe-tensor-name`.
    """
    if unsafe := [name for name in names if not safe_name(name)]:
        raise ModelError(
            "unsafe-tensor-name",
            f"tensor names that cannot go into a command line: {', '.join(map(repr, unsafe))}",
            where=where,
            hint="rename them in the source model: letters, digits and _ . / : - are safe",
        )
