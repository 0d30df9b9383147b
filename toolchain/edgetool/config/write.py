"""Writes values as TOML, for the files and listings that edgetool makes itself."""

from __future__ import annotations

import json
from collections.abc import Mapping

from edgetool.config.tree import dotted


def toml_value(value: object) -> str:
    """A value on one line. Strings are JSON's, which TOML reads alike but for the character DEL."""
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{dotted((str(key),))} = {toml_value(below)}" for key, below in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
